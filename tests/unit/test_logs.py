"""A log is cut while its child writes on, and what the child writes afterwards is all there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from localllm.supervisor.logs import cap_log, prune_logs, tend_logs
from localllm.supervisor.process import open_log

CAP = 64 << 10
LINE = "{:07d} is the number of this line of text.\n"
LINE_BYTES = len(LINE.format(0))
ROUND = 400
"""Lines that the child writes at one request: a quarter of the cap."""

CHILD = f"""
import os, sys
number = 0
for count in sys.stdin:
    for number in range(number, number + int(count)):
        os.write(1, {LINE!r}.format(number).encode())
    number += 1
    os.write(2, b".")
"""


class Writer:
    """A real child that appends to its log when it is asked to."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.written = 0

    def begin(self, lines: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % lines)
        self._process.stdin.flush()
        self.written += lines

    def end(self) -> None:
        assert self._process.stderr is not None
        assert self._process.stderr.read(1) == b"."

    def write(self, lines: int) -> None:
        self.begin(lines)
        self.end()


@contextmanager
def a_child(log: Path) -> Generator[Writer]:
    with (
        open_log(log) as opened,
        subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=opened,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        yield Writer(process)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "smol.log"


def kept(log: Path) -> Path:
    return log.with_name("smol.log.1")


def numbers(text: bytes) -> list[int]:
    """The numbers of the whole lines in it: it may begin and end within one."""
    lines = [line for line in text.split(b"\n") if len(line) == LINE_BYTES - 1]
    found = [int(line[:7]) for line in lines]
    assert lines == [LINE.format(number).strip().encode() for number in found]
    return found


def is_gapless(found: list[int]) -> bool:
    return all(after == before + 1 for before, after in pairwise(found))


def test_a_log_under_the_cap_is_left_alone(log: Path) -> None:
    with a_child(log) as child:
        child.write(10)

        assert not cap_log(log, 10 * LINE_BYTES)

        assert len(numbers(log.read_bytes())) == 10
        assert not kept(log).exists()


def test_a_log_that_is_not_there_is_no_error(log: Path) -> None:
    assert not cap_log(log, CAP)


def test_what_was_written_before_is_kept_and_what_comes_after_begins_the_file(log: Path) -> None:
    with a_child(log) as child:
        child.write(4 * ROUND)

        assert cap_log(log, CAP)

        child.write(5)
        old, new = numbers(kept(log).read_bytes()), numbers(log.read_bytes())
        assert is_gapless([*old, *new])
        assert (new[0], new[-1]) == (4 * ROUND, child.written - 1)
        assert log.stat().st_size == 5 * LINE_BYTES, "no hole where the old lines were"


def test_the_older_copy_is_replaced_and_no_copy_is_larger_than_the_cap(log: Path) -> None:
    with a_child(log) as child:
        for _ in range(2):
            child.write(20 * ROUND)
            assert cap_log(log, CAP)

        old = numbers(kept(log).read_bytes())
        assert old[-1] == child.written - 1
        assert CAP // 2 < kept(log).stat().st_size <= CAP


def test_while_the_child_writes_no_line_after_a_cut_is_lost_and_the_file_stays_small(
    log: Path,
) -> None:
    cuts = 0
    with a_child(log) as child:
        for _ in range(60):
            child.begin(ROUND)
            cut = cap_log(log, CAP)
            child.end()

            new = numbers(log.read_bytes())
            assert len(new) * LINE_BYTES == log.stat().st_size <= CAP + ROUND * LINE_BYTES
            assert is_gapless(new)
            assert not new or new[-1] == child.written - 1
            if cut:
                cuts += 1
                old = numbers(kept(log).read_bytes())
                assert is_gapless(old)
                assert not new or old[-1] < new[0]
    assert cuts > 8


def copied_while_the_child_writes(log: Path, lines: int, cap_bytes: int) -> bytes:
    """A pipe in the copy's place takes 64 KiB: the copying stands still until it is read."""
    with a_child(log) as child, ThreadPoolExecutor(1) as thread:
        child.write(20 * ROUND)
        os.mkfifo(kept(log))
        cutting = thread.submit(cap_log, log, cap_bytes)
        with kept(log).open("rb", buffering=0) as copy:
            first = copy.read(1)
            child.write(lines)
            copied = first + copy.readall()
        assert cutting.result()
    return copied


def test_what_is_written_while_the_copy_is_made_is_in_the_copy(log: Path) -> None:
    copied = numbers(copied_while_the_child_writes(log, ROUND, 4 * CAP))

    assert copied[-1] == 21 * ROUND - 1
    assert is_gapless(copied)


def test_the_copy_ends_at_the_cap_even_if_the_child_writes_faster(log: Path) -> None:
    copied = copied_while_the_child_writes(log, 10 * ROUND, 4 * CAP)

    assert len(copied) == 4 * CAP


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_on_a_full_disk_it_is_cut_without_a_copy(log: Path) -> None:
    with a_child(log) as child:
        child.write(4 * ROUND)
        kept(log).symlink_to("/dev/full")

        assert cap_log(log, CAP)

        child.write(3)
        assert numbers(log.read_bytes()) == [4 * ROUND, 4 * ROUND + 1, 4 * ROUND + 2]


def test_a_copy_that_cannot_be_made_does_not_keep_it_from_being_cut(log: Path) -> None:
    with a_child(log) as child:
        child.write(4 * ROUND)
        kept(log).mkdir()

        assert cap_log(log, CAP)

        assert log.stat().st_size == 0


def a_log(folder: Path, name: str, at: int, size_bytes: int = 100) -> Path:
    log = folder / name
    log.touch()
    os.truncate(log, size_bytes)
    os.utime(log, (at, at))
    return log


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def test_of_engines_that_are_no_more_the_newest_logs_stay(tmp_path: Path) -> None:
    for number in range(12):
        a_log(tmp_path, f"model-{number:02}.log", at=number)

    prune_logs(tmp_path, (), most=3)

    assert names(tmp_path) == ["model-09.log", "model-10.log", "model-11.log"]


def test_logs_together_have_a_bound(tmp_path: Path) -> None:
    for number in range(6):
        a_log(tmp_path, f"model-{number}.log", at=number, size_bytes=1000)

    prune_logs(tmp_path, (), most_bytes=2500)

    assert names(tmp_path) == ["model-4.log", "model-5.log"]


def test_what_is_in_use_or_not_ours_stays_however_old(tmp_path: Path) -> None:
    used = a_log(tmp_path, "daemon.log", at=0)
    a_log(tmp_path, "daemon.log.1", at=0)
    a_log(tmp_path, "notes.txt", at=0)
    elsewhere = a_log(tmp_path, "elsewhere", at=0)
    (tmp_path / "linked.log").symlink_to(elsewhere)
    (tmp_path / "folder.log").mkdir()
    for number in range(1, 6):
        a_log(tmp_path, f"model-{number}.log", at=number)

    prune_logs(tmp_path, [used], most=3)

    kept = ["daemon.log", "daemon.log.1", "elsewhere", "folder.log", "linked.log"]
    assert names(tmp_path) == [*kept, "model-5.log", "notes.txt"]


def test_a_log_that_is_being_read_is_not_cut(tmp_path: Path) -> None:
    starting, ready = (
        a_log(tmp_path, name, 0, size_bytes=17 << 20) for name in ("starting.log", "ready.log")
    )

    assert tend_logs(tmp_path, [starting, ready], {starting}) == [ready]

    assert (starting.stat().st_size, ready.stat().st_size) == (17 << 20, 0)


def test_a_year_of_models_that_come_and_go_stays_within_its_bounds(tmp_path: Path) -> None:
    for day in range(365):
        for each in range(3):
            a_log(tmp_path, f"model-{day}-{each}.log", at=day, size_bytes=4 << 20 >> each)
        prune_logs(tmp_path, ())

    logs = [one.stat() for one in tmp_path.iterdir()]
    assert len(logs) <= 100
    assert sum(one.st_size for one in logs) <= 256 << 20
