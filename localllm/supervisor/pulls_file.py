"""The pulls that are to go on, on disk: so that a daemon that starts after a crash or a reboot does so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localllm.store.job import PullProgress
from localllm.store.pull_talk import Failure
from localllm.supervisor.pull_messages import Then, Wanted
from localllm.supervisor.pull_wishes import is_due
from localllm.supervisor.pulling_list import UNFINISHED, Pull, PullState

_log = logging.getLogger(__name__)
FORMAT = 1


@dataclass(frozen=True, slots=True)
class RememberedPulls:
    pulls: tuple[Pull, ...] = ()
    last: int = 0
    """The number of the newest pull that there ever was."""


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One pull. What is not said is not written: an earlier version knows nothing of `then`."""

    id: str
    wanted: Wanted
    state: PullState
    turn: int
    progress: PullProgress | None = None
    failure: Failure | None = None
    then: Then | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    last: int
    pulls: list[_Kept]


def read_pulls(file: Path) -> RememberedPulls:
    """Read them; a file that this version cannot read is set aside, and said so."""
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_File)
    except FileNotFoundError:
        return RememberedPulls()
    except OSError as error:
        _log.warning("the pulls of the daemon before are not known: %s", error)
        return RememberedPulls()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _set_aside(file, str(error))
    if read.version != FORMAT:
        return _set_aside(file, f"version {read.version}")
    return RememberedPulls(tuple(map(_restored, read.pulls)), read.last)


def write_pulls(file: Path, pulls: Iterable[Pull], last: int) -> None:
    """Write those that have not ended, and those that are to be served yet.

    In one step: a crash leaves the old file or the new one. A disk that is full costs the memory of them, not the pulls.
    """
    kept = [_kept(pull) for pull in pulls if pull.state in UNFINISHED or is_due(pull)]
    text = msgspec.json.encode(_File(FORMAT, last, kept))
    draft = file.with_suffix(".draft")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text)
        os.replace(draft, file)  # noqa: PTH105  # the one call that promises to be atomic
    except OSError as error:
        _log.warning("the pulls are not remembered: %s", error)


def _kept(pull: Pull) -> _Kept:
    return _Kept(
        pull.id, pull.wanted, pull.state, pull.turn, pull.progress, pull.failure, pull.then
    )


def _restored(kept: _Kept) -> Pull:
    goes_on = kept.state in {PullState.QUEUED, PullState.FETCHING}
    return Pull(
        kept.id,
        kept.wanted,
        state=PullState.QUEUED if goes_on else kept.state,
        why="an earlier daemon has begun it",
        turn=kept.turn,
        progress=kept.progress,
        failure=kept.failure,
        then=kept.then,
        patient=goes_on,
    )


def _set_aside(file: Path, why: str) -> RememberedPulls:
    aside = file.with_suffix(".unread")
    try:
        os.replace(file, aside)  # noqa: PTH105
    except OSError as error:
        _log.warning("%s is not read (%s), and stays in the way: %s", file, why, error)
    else:
        _log.warning("the pulls of the daemon before are not read: %s is kept as %s", why, aside)
    return RememberedPulls()
