"""Computers that this one is not: a root folder with what /proc, /sys, /dev and /etc would say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import Any, TypeVar

import msgspec

from localllm.api.daemon_file import DaemonFile
from localllm.api.status_views import InstanceView, StatusView
from localllm.checkup.facts import Fact
from localllm.checkup.finding import Finding, Severity
from localllm.checkup.known import Known, Program, Running
from localllm.checkup.place import Place
from localllm.hardware.described import describe_machine
from localllm.hardware.machine import Machine
from localllm.paths import Paths, bundled_profiles
from tests.fakes.scene_parts import a_daemon, a_probe

T = TypeVar("T")
UBUNTU = 'ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04"\n'
FEDORA = "ID=fedora\n"
ME = 1000
"""The user's number, who is not the one that runs the tests."""


def a_place(folder: Path, files: Mapping[str, str | bytes] | None = None, **changes: Any) -> Place:
    """A Linux computer whose files are these; nothing else is on it."""
    root = folder / "root"
    for name, content in {"etc/os-release": UBUNTU, **(files or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    home = folder / "home"
    paths = Paths(home / "config", home / "data", home / "state", home / "cache")
    for each in (home, paths.state, paths.config):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    plain: dict[str, Any] = {
        "environment": {"HF_HOME": str(home / "hf")},
        "root": root,
        "home": home,
        "user": "dev",
        "user_id": ME,
        "groups": frozenset({ME}),
        "profiles": bundled_profiles(),
        "now": time,
    }
    return Place(paths, **{**plain, **changes})


def a_known(
    place: Place,
    *,
    machine: str | Machine = "cpu-16",
    programs: Sequence[Program] = (),
    status: StatusView | None = None,
    daemon: Running | None = None,
    within_s: float = 10.0,
) -> Known:
    """What is known of it; without a status there is no daemon."""
    found = machine if isinstance(machine, Machine) else a_machine(machine)
    known = Known(
        place, monotonic() + within_s, machine=lambda: found, programs=lambda: list(programs)
    )
    if status is not None:
        daemon = Running(a_daemon_file(), status)
    if daemon is not None:
        known.daemon = told(daemon)
    return known


def told(value: T) -> Fact[T]:
    """A fact that is known."""
    fact = Fact(lambda: value, monotonic() + 5.0)
    fact.start()
    return fact


def a_machine(words: str, **changes: Any) -> Machine:
    found = describe_machine(words, bundled_profiles())
    return replace(found, **{"warnings": (), **changes})


def a_daemon_file(**changes: Any) -> DaemonFile:
    plain = {"pid": 4242, "started": 0.0, "port": 11711, "token": "t" * 64, "version": "0.1.0"}
    return DaemonFile(**{**plain, **changes})


def a_status(*models: InstanceView, warnings: Iterable[str] = ()) -> StatusView:
    return StatusView(
        daemon=a_daemon(),
        hardware=msgspec.structs.replace(a_probe("rtx5090"), warnings=[]),
        warnings=list(warnings),
        models=list(models),
    )


def by_id(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {one.id: one for one in findings}


def only(findings: Iterable[Finding]) -> Finding:
    """The one that is not in order."""
    bad = [one for one in findings if one.severity is not Severity.OK]
    assert len(bad) == 1, bad
    return bad[0]


def bad(findings: Iterable[Finding]) -> list[str]:
    """Ids of what is not in order."""
    return [one.id for one in findings if one.severity is not Severity.OK]
