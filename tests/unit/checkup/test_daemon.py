"""The daemon: what it says, and what a dead one left behind."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from localllm.api.daemon_file import write_daemon_file
from localllm.api.status_views import ErrorView
from localllm.checkup.checks.daemon import check_daemon, check_logs, check_strays
from localllm.checkup.finding import Severity, advised
from localllm.checkup.known import Known, Program, Running
from localllm.checkup.repairs import CutLog, EndStrays, RemoveLeftovers
from localllm.units import GIB
from tests.fakes.scene_parts import an_instance, not_up
from tests.unit.checkup.a_place import a_daemon_file, a_known, a_place, a_status, bad, by_id, only

NOBODY = 99_999_999
"""A process id that no system gives out."""


def test_a_daemon_that_answers_is_in_order(tmp_path: Path) -> None:
    assert bad(check_daemon(a_known(a_place(tmp_path), status=a_status(an_instance("m"))))) == []


def test_no_daemon_is_nothing_bad(tmp_path: Path) -> None:
    assert bad(check_daemon(a_known(a_place(tmp_path)))) == []


def test_a_daemon_that_speaks_another_language_is_a_problem(tmp_path: Path) -> None:
    running = Running(a_daemon_file(), None, "its answer cannot be read")

    found = only(check_daemon(a_known(a_place(tmp_path), daemon=running)))

    assert (found.id, found.severity) == ("daemon.no-answer", Severity.PROBLEM)


def test_a_model_that_gave_up_is_told_with_its_cure(tmp_path: Path) -> None:
    error = ErrorView(reason="CUDA ran out of memory", fix="localllm up m --context 4096", log=[])
    model = not_up(an_instance("m"), "failed", "it crashed 3 times", error)

    found = only(check_daemon(a_known(a_place(tmp_path), status=a_status(model))))

    assert (found.what, found.why, found.fix) == (
        "m does not run: it crashed 3 times.",
        "CUDA ran out of memory",
        "localllm up m --context 4096",
    )


def test_what_the_daemon_warns_of_is_passed_on(tmp_path: Path) -> None:
    model = msgspec.structs.replace(an_instance("m"), warnings=["2 layers are elsewhere"])
    status = a_status(model, warnings=["the device cuda:0 is lost"])

    found = list(check_daemon(a_known(a_place(tmp_path), status=status)))

    assert {"the device cuda:0 is lost", "m: 2 layers are elsewhere"} <= {one.what for one in found}


def test_files_of_a_dead_daemon_may_be_removed(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    write_daemon_file(place.paths.daemon_file, a_daemon_file(pid=NOBODY))
    place.paths.sockets.mkdir(mode=0o700)
    socket = place.paths.sockets / "abc.sock"
    socket.touch()

    found = only(check_daemon(a_known(place)))

    files = (place.paths.daemon_file, socket)
    assert found.repair == RemoveLeftovers(place.paths.state, files)


def test_an_engine_of_a_dead_daemon_is_a_problem_and_may_be_ended(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    engine = Program(7, "engine", "engine", 3 * GIB, engine_of=str(place.paths.state))

    found = only(check_strays(a_known(place, programs=[engine])))

    assert found.what == "1 engine process (7) of a dead daemon still runs."
    assert found.repair == EndStrays(place.paths.state)


def test_an_engine_of_another_installation_is_told_and_left_alone(tmp_path: Path) -> None:
    dead, alive = tmp_path / "dead", tmp_path / "alive"
    alive.mkdir()
    write_daemon_file(alive / "daemon.json", a_daemon_file(pid=os.getpid()))
    programs = [
        Program(7, "engine", "engine", 3 * GIB, engine_of=str(dead)),
        Program(8, "engine", "engine", 3 * GIB, engine_of=str(alive)),
    ]

    found = only(check_strays(a_known(a_place(tmp_path), programs=programs)))

    assert (found.id, found.fix, found.repair) == ("daemon.strays-elsewhere", "kill 7", None)
    assert str(dead) in found.what


def test_engines_of_a_daemon_that_lives_are_no_strays(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    engine = Program(7, "engine", "engine", 3 * GIB, engine_of=str(place.paths.state))

    assert bad(check_strays(a_known(place, programs=[engine], status=a_status()))) == []


@pytest.mark.parametrize(
    ("cure", "why", "fix"),
    [
        ("localllm up m --context 4096", "w", "localllm up m --context 4096"),
        (
            "localllm up m --context 4096, or ask for x",
            "w; localllm up m --context 4096, or ask for x",
            "l",
        ),
        ("localllm status shows its progress", "w; localllm status shows its progress", "l"),
        ("wait until some are done", "w; wait until some are done", "l"),
        (None, "w", "l"),
    ],
)
def test_what_is_to_be_copied_is_a_command_and_no_sentence(
    cure: str | None, why: str, fix: str
) -> None:
    assert advised("w", cure, "l") == (why, fix)


def test_a_daemon_of_a_later_version_is_none_that_is_dead(tmp_path: Path) -> None:
    """Its daemon.json cannot be read here, and its engines are its own all the same."""
    place = a_place(tmp_path)
    place.paths.daemon_file.write_text(f'{{"format": 99, "pid": {os.getpid()}}}')
    engine = Program(7, "engine", "engine", 3 * GIB, engine_of=str(place.paths.state))
    known: Known = a_known(place, programs=[engine])

    assert known.daemon.get() is None
    assert not known.has_no_daemon
    assert bad(check_strays(known)) == []
    assert bad(check_daemon(known)) == ["daemon.newer"]


def test_a_log_that_has_grown_may_be_cut(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.logs.mkdir()
    with place.paths.daemon_log.open("wb") as log:
        log.truncate(65 << 20)  # a hole, which takes no room

    found = only(check_logs(a_known(place)))

    assert (found.severity, found.repair) == (Severity.NOTE, CutLog(place.paths.daemon_log))


@pytest.mark.parametrize("there", [True, False])
def test_short_logs_are_in_order(tmp_path: Path, *, there: bool) -> None:
    place = a_place(tmp_path)
    if there:
        place.paths.logs.mkdir()
        place.paths.daemon_log.write_text("x")

    assert by_id(check_logs(a_known(place)))["daemon.logs"].severity is Severity.OK
