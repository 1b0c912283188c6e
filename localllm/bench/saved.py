"""Runs that were kept: a file for each, in one folder, named by when it was and what was measured."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.api.bench_views import FORMAT, BenchView
from localllm.bench.comparing import is_measured_alike, machine_in_words
from localllm.bench.errors import NoSuchRun
from localllm.versioned import (
    DamagedFile,
    Kind,
    NewerFile,
    damaged,
    read_versioned,
    version_in,
    write_versioned,
)

KIND = Kind("what a bench measured", BenchView, FORMAT, synced=False)
LAST = "last"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 60
_MOST_BYTES = 16 << 20
_NAME = re.compile(r"\d{8}T\d{6}\.\d{3}-")
MOST_KEPT = 200
"""The oldest go."""


@dataclass(frozen=True, slots=True)
class Runs:
    """What the folder has."""

    views: Sequence[BenchView]
    """The newest first."""

    left_out: Sequence[str]
    """Files that cannot be read, each with its reason."""


def run_id(model: str, at: float) -> str:
    """Name a run.

    >>> run_id("smollm2:135m", 0.0)
    '19700101T000000.000-smollm2-135m'
    """
    when = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at))
    return f"{when}.{int(at * 1000) % 1000:03}-{_UNSAFE.sub('-', model)[:_LONGEST_NAME].strip('-')}"


def save(folder: Path, view: BenchView) -> BenchView:
    """Write a run, whole or not at all, and say where.

    Raises:
        OSError: It cannot be written.
    """
    file = folder / f"{view.id}.json"
    placed = msgspec.structs.replace(view, saved=str(file))
    write_versioned(file, KIND, msgspec.structs.replace(placed, comparison=None))
    drop_oldest(folder, FORMAT)
    return placed


def drop_oldest(folder: Path, known: int) -> None:
    """Remove the oldest until few enough are left: their names begin with when they were made.

    What is named otherwise, cannot be read, or is of a later version than `known` stays.
    """
    ours = sorted(file for file in folder.glob("*.json") if _NAME.match(file.name))
    for old in ours[:-MOST_KEPT]:
        with suppress(OSError):
            if (version_in(old.read_bytes()) or known + 1) <= known:
                old.unlink()


def read_runs(folder: Path) -> Runs:
    """Read all; what cannot be read stays as it is, and is named."""
    views, left_out = list[BenchView](), list[str]()
    for file in sorted(folder.glob("*.json")):
        try:
            view = _read(file)
        except (NewerFile, DamagedFile) as error:
            left_out.append(f"{error.what.rstrip('.')}: {error.why}")
        except OSError as error:
            left_out.append(f"{file}: {error.strerror or error}")
        else:
            views += [] if view is None else [view]
    return Runs(sorted(views, key=lambda view: view.at, reverse=True), left_out)


def _read(file: Path) -> BenchView | None:
    if file.stat().st_size > _MOST_BYTES:
        raise damaged(file, KIND.what, "it is far longer than any bench writes")
    return read_versioned(file, KIND)


def find_last(runs: Runs, like: BenchView) -> BenchView | None:
    """Find the newest run of the same model on the same machine that measured some of the same.

    None where there is none yet.
    """
    others = (one for one in runs.views if one.id != like.id and is_comparable(one, like))
    return next((one for one in others if is_measured_alike(one, like)), None)


def find_run(runs: Runs, name: str) -> BenchView:
    """Find a run by its id, or the begin of it.

    Raises:
        NoSuchRun: None is called so, or more than one.
    """
    found = [view for view in runs.views if view.id == name] or [
        view for view in runs.views if view.id.startswith(name)
    ]
    if len(found) != 1:
        many = ", ".join(one.id for one in found)
        raise NoSuchRun(
            f"{'More than one' if found else 'No'} saved bench is called {name!r}.",
            why=many or f"{len(runs.views)} are saved, none begins so",
            fix="localllm bench --list shows them; `last` is the newest of the same model",
        )
    return found[0]


def is_comparable(one: BenchView, other: BenchView) -> bool:
    """Tell whether two runs are of the same model on the same machine."""
    same_model = (one.model.id, one.model.quant) == (other.model.id, other.model.quant)
    return same_model and machine_in_words(one.machine) == machine_in_words(other.machine)
