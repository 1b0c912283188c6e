"""What `--fix` does, and above all what it does not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from localllm.checkup.finding import Area, Finding, Severity
from localllm.checkup.fixing import repair_all
from localllm.checkup.place import Place
from localllm.checkup.repairs import (
    CutLog,
    EndStrays,
    RemoveLeftovers,
    RenewService,
    Repair,
    SetMode,
    render_repair,
)
from localllm.supervisor.reaper import OWNER_VARIABLE
from tests.unit.checkup.a_place import a_place


def repaired(place: Place, repair: Repair) -> tuple[str | None, str | None]:
    finding = Finding("x.y", Area.FILES, Severity.PROBLEM, "It is.", repair=repair)
    (one,) = repair_all([finding], place)
    return one.did, one.error


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def an_engine_of(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["sleep", "60"], env={**os.environ, OWNER_VARIABLE: str(state)}
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="containers of this kind are Linux's")
def test_an_engine_in_a_container_is_not_ours_though_its_folder_is_called_the_same(
    tmp_path: Path,
) -> None:
    place = a_place(tmp_path)
    own_processes = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    engine = [
        *("env", f"{OWNER_VARIABLE}={place.paths.state}"),
        *("sh", "-c", "echo up; read wait; echo still"),
    ]
    with subprocess.Popen(
        [*own_processes, *engine], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "up\n":
            pytest.skip("no such space can be made here")

        did, _ = repaired(place, EndStrays(place.paths.state))
        process.stdin.close()
        still = process.stdout.read()

    assert did == "ended nothing: they are gone"
    assert still == "still\n"


def test_rights_are_taken_from_others(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    file = place.paths.keys_file
    file.touch(mode=0o644)

    did, error = repaired(place, SetMode(file, 0o600))

    assert (did, error, mode(file)) == (f"{file} is 600 now", None, 0o600)


def test_a_folders_rights_are_taken_too(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.state.chmod(0o755)

    repaired(place, SetMode(place.paths.state, 0o700))

    assert mode(place.paths.state) == 0o700


@pytest.mark.parametrize("how", ["outside", "link", "dots"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, how: str) -> None:
    place = a_place(tmp_path)
    other = tmp_path / "theirs"
    other.touch(mode=0o644)
    other.chmod(0o644)
    link = place.paths.state / "keys.json"
    link.symlink_to(other)
    path = {
        "outside": other,
        "link": link,
        "dots": place.paths.state / ".." / ".." / "theirs",
    }[how]

    did, error = repaired(place, SetMode(path, 0o600))

    assert did is None
    assert "not localllm's own" in (error or "")
    assert mode(other) == 0o644


def test_leftovers_of_a_dead_daemon_are_removed(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.daemon_file.touch()
    kept = place.paths.keys_file
    kept.touch()

    did, error = repaired(place, RemoveLeftovers(place.paths.state, (place.paths.daemon_file,)))

    assert (did, error) == (f"removed {place.paths.daemon_file}", None)
    assert [kept] == list(place.paths.state.iterdir()), "the lock is gone again, too"


def test_nothing_is_removed_while_a_daemon_holds_the_lock(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.daemon_file.touch()

    with filelock.FileLock(place.paths.lock):
        did, error = repaired(place, RemoveLeftovers(place.paths.state, (place.paths.daemon_file,)))

    assert did is None
    assert "a daemon runs by now" in (error or "")
    assert place.paths.daemon_file.exists()


def test_strays_are_ended_and_engines_of_others_are_not(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    with an_engine_of(place.paths.state) as ours, an_engine_of(tmp_path / "other") as theirs:
        did, error = repaired(place, EndStrays(place.paths.state))

        assert (did, error) == (f"ended {ours.pid}", None)
        assert ours.wait(5) == -9
        assert theirs.poll() is None


def test_no_engine_is_ended_while_a_daemon_holds_the_lock(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    with filelock.FileLock(place.paths.lock), an_engine_of(place.paths.state) as ours:
        did, _ = repaired(place, EndStrays(place.paths.state))

        assert did is None
        assert ours.poll() is None


def test_a_log_is_cut_and_its_end_is_kept(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    place.paths.logs.mkdir()
    log = place.paths.daemon_log
    with log.open("wb") as opened:
        opened.truncate(64 << 20)
        opened.seek(0, os.SEEK_END)
        opened.write(b"the last words\n")

    did, error = repaired(place, CutLog(log))

    assert (error, log.stat().st_size) == (None, 0)
    assert did == f"cut {log}; its end is in daemon.log.1"
    assert (place.paths.logs / "daemon.log.1").read_bytes().endswith(b"the last words\n")


def test_a_service_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert repaired(a_place(tmp_path), RenewService()) == ("the service is up to date by now", None)


def test_one_repair_that_fails_does_not_keep_the_others_back(tmp_path: Path) -> None:
    place = a_place(tmp_path)
    gone = Finding(
        "a.b", Area.FILES, Severity.NOTE, "x", repair=SetMode(place.paths.state / "no", 0o600)
    )
    there = place.paths.state / "yes"
    there.touch(mode=0o644)
    good = Finding("a.c", Area.FILES, Severity.NOTE, "x", repair=SetMode(there, 0o600))

    first, second = repair_all([gone, good], place)

    assert first.error == "No such file or directory"
    assert (second.error, mode(there)) == (None, 0o600)


def test_a_program_cannot_be_tricked_by_a_link_put_there_in_between(tmp_path: Path) -> None:
    """A folder of ours may be replaced by a link to somebody else's: nothing is followed."""
    place = a_place(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (place.paths.state / "prefixes").symlink_to(theirs)

    did, _ = repaired(place, SetMode(place.paths.prefixes, 0o700))

    assert (did, mode(theirs)) == (None, 0o755)


@pytest.mark.parametrize(
    ("repair", "words"),
    [
        (SetMode(Path("/s/k"), 0o600), "chmod 600 /s/k"),
        (RemoveLeftovers(Path("/s"), (Path("/s/a"), Path("/s/b"))), "remove /s/a, /s/b"),
        (EndStrays(Path("/s")), "end the engines that no daemon looks after"),
        (CutLog(Path("/s/l")), "cut /s/l, and keep its end in l.1"),
        (
            RenewService(),
            "write the service's file anew, and if it runs drain it and start it again",
        ),
    ],
)
def test_each_repair_is_said_before_it_is_done(repair: Repair, words: str) -> None:
    assert render_repair(repair) == words
