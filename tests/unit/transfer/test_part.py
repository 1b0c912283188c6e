"""What is kept of a file that has not come whole: exactly what was written, whatever ended the writer."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.transfer import journal
from localllm.transfer import part as part_module
from localllm.transfer.part import Part, discard, here_bytes, journal_of, part_of

SIZE = 5000
CONTENT = bytes(i * 7 % 251 for i in range(SIZE))


OPEN = Path("/proc/self/fd")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return tmp_path / "whole"


def written(whole: Path, *ranges: tuple[int, int], flushed: bool = False) -> None:
    part = Part(whole, SIZE)
    for start, end in ranges:
        part.write(start, CONTENT[start:end])
    if flushed:
        part.flush(tuple(part.here))
        part.note_flushed()
    part.close()


def held(whole: Path) -> list[tuple[int, int]]:
    """Take it up, and see that it has the bytes that it says."""
    part = Part(whole, SIZE)
    try:
        for start, end in part.here:
            assert part.read(start, end - start) == CONTENT[start:end]
        return list(part.here)
    finally:
        part.close()


def after_a_start_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "boot", lambda: "another life")


def test_what_was_written_is_there_for_the_next_one(whole: Path) -> None:
    written(whole, (100, 200), (0, 50), (200, 300))

    assert held(whole) == [(0, 50), (100, 300)]
    assert here_bytes(whole, SIZE) == 250


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, 700), st.booleans()), max_size=8),
        max_size=5,
    )
)
def test_random_writes_by_writers_that_end_anywhere_are_all_kept(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[tuple[int, int, bool]]]
) -> None:
    whole = tmp_path_factory.mktemp("part") / "whole"
    expected: set[int] = set()
    for writes in lives:
        part = Part(whole, SIZE)
        assert {i for one, other in part.here for i in range(one, other)} == expected
        for start, count, flushes in writes:
            part.write(start, CONTENT[start : start + count])
            expected |= set(range(start, min(start + count, SIZE)))
            if flushes:
                part.flush(tuple(part.here))
                part.note_flushed()
        part.close()  # the system does no more for one that is killed
    assert {i for one, other in held(whole) for i in range(one, other)} == expected


def test_one_that_is_killed_loses_nothing(whole: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from localllm.transfer.part import Part
part = Part(Path({str(whole)!r}), {SIZE})
content = bytes(i * 7 % 251 for i in range({SIZE}))
part.write(1000, content[1000:2000])
part.flush(tuple(part.here)); part.note_flushed()
part.write(2000, content[2000:2500])
part.flush(tuple(part.here))
part.write(0, content[:10])
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=20)

    assert held(whole) == [(0, 10), (1000, 2500)]


def test_after_a_start_of_the_machine_only_what_was_flushed_counts(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(whole, (0, 1000), flushed=True)
    part = Part(whole, SIZE)
    part.write(2000, CONTENT[2000:3000])
    part.close()

    after_a_start_of_the_machine(monkeypatch)

    assert held(whole) == [(0, 1000)]


def test_what_comes_while_the_disk_is_busy_is_kept_and_counts_as_not_flushed(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(whole, SIZE)
    part.write(0, CONTENT[:100])
    before = tuple(part.here)
    part.write(100, CONTENT[100:200])
    part.flush(before)
    part.write(200, CONTENT[200:300])
    part.note_flushed()
    part.close()

    assert here_bytes(whole, SIZE) == 300
    after_a_start_of_the_machine(monkeypatch)
    assert held(whole) == [(0, 100)]


def test_one_that_is_taken_up_again_has_all_of_it_on_the_disk(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(whole, (0, 1000))
    Part(whole, SIZE).close()

    after_a_start_of_the_machine(monkeypatch)

    assert held(whole) == [(0, 1000)]


def test_a_drive_that_was_pulled_out_counts_as_a_machine_that_began_anew(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(whole, (0, 1000), flushed=True)
    written(whole, (1000, 2000))

    monkeypatch.setattr(journal, "_mounted", lambda _: "another one by the same name")

    assert held(whole) == [(0, 1000)]


@pytest.mark.skipif(sys.platform != "linux", reason="it is looked up as Linux tells it")
def test_disks_are_told_apart_and_one_stays_the_same(tmp_path: Path) -> None:
    assert journal.life_of(tmp_path) == journal.life_of(tmp_path)
    assert journal.life_of(tmp_path) != journal.life_of(Path("/proc"))
    assert "mnt_id" in journal._mounted(tmp_path)


def test_a_file_has_its_name_on_the_disk_before_its_journal_goes(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(whole, (0, SIZE))
    there: list[tuple[bool, bool]] = []

    def look(_: Path) -> None:
        there.append((whole.exists(), journal_of(whole).exists()))

    monkeypatch.setattr(part_module, "_sync_folder", look)
    part = Part(whole, SIZE)
    part.settle(whole)
    part.close()

    assert there == [(True, True)]
    assert list(whole.parent.iterdir()) == [whole]


def test_a_journal_goes_before_the_part_that_it_speaks_of(whole: Path) -> None:
    written(whole, (0, 100))
    part_of(whole).unlink()
    part_of(whole).mkdir()  # which cannot be removed as a file is

    with pytest.raises(OSError):  # noqa: PT011  # which one depends on the system
        discard(whole)

    assert not journal_of(whole).exists()


def test_a_journal_goes_before_what_is_wrong_gets_another_name(whole: Path) -> None:
    written(whole, (0, 100))
    (taken := whole.with_name("taken")).mkdir()
    part = Part(whole, SIZE)

    with pytest.raises(OSError):  # noqa: PT011
        part.set_aside(whole, taken)
    part.close()

    assert not journal_of(whole).exists()


LIFE = b"of this machine."
HEADER = struct.pack("<16sQ16s", b"localllm part 1\n", SIZE, LIFE)


def in_this_life(text: bytes, whole: Path) -> bytes:
    return text.replace(LIFE, journal.life_of(whole.parent))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"localllm part",
        HEADER,
        b"x" * 1000,
        struct.pack("<16sQ16s", b"localllm part 1\n", SIZE + 1, LIFE) + struct.pack("<QQ", 0, SIZE),
        struct.pack("<16sQ16s", b"localllm part 2\n", SIZE, LIFE) + struct.pack("<QQ", 0, SIZE),
        HEADER + struct.pack("<QQ", 300, 200),
        HEADER + struct.pack("<QQ", 2**63, 2**64 - 1),
        HEADER + bytes(1600),
    ],
)
def test_a_journal_that_is_torn_or_anothers_counts_for_nothing(whole: Path, text: bytes) -> None:
    part_of(whole).write_bytes(CONTENT)
    journal_of(whole).write_bytes(in_this_life(text, whole))

    assert here_bytes(whole, SIZE) == 0
    assert held(whole) == []


def test_half_a_line_at_the_end_counts_for_nothing(whole: Path) -> None:
    written(whole, (0, 100))
    with journal_of(whole).open("ab") as opened:
        opened.write(struct.pack("<QQ", 0, SIZE)[:9])

    assert held(whole) == [(0, 100)]


def test_a_journal_that_is_huge_is_not_read(whole: Path) -> None:
    part_of(whole).write_bytes(CONTENT)
    with journal_of(whole).open("wb") as opened:
        opened.write(in_this_life(HEADER + struct.pack("<QQ", 0, SIZE), whole))
        opened.truncate(1 << 40)

    assert held(whole) == []


def test_what_the_journal_says_beyond_the_parts_end_counts_for_nothing(whole: Path) -> None:
    written(whole, (0, 3000))
    os.truncate(part_of(whole), 1200)

    assert held(whole) == [(0, 1200)]


def test_what_is_longer_than_the_file_is_cut(whole: Path) -> None:
    written(whole, (0, SIZE))
    with part_of(whole).open("ab") as opened:
        opened.write(b"more")

    assert held(whole) == [(0, SIZE)]
    assert part_of(whole).read_bytes() == CONTENT


def test_the_right_one_gets_its_name_and_nothing_else_is_left(whole: Path) -> None:
    part = Part(whole, SIZE)
    part.write(0, CONTENT)
    part.flush(tuple(part.here))
    part.settle(whole)
    part.close()

    assert whole.read_bytes() == CONTENT
    assert list(whole.parent.iterdir()) == [whole]


def test_one_that_was_removed_does_not_get_its_name(whole: Path) -> None:
    part = Part(whole, SIZE)
    part.write(0, CONTENT)
    part_of(whole).unlink()
    part_of(whole).write_bytes(b"of somebody else")

    assert not part.is_there
    with pytest.raises(FileNotFoundError):
        part.settle(whole)
    part.close()
    assert not whole.exists()


def test_what_is_discarded_is_gone(whole: Path) -> None:
    part = Part(whole, SIZE)
    part.flush(tuple(part.here))

    discard(whole)

    part.close()
    assert list(whole.parent.iterdir()) == []


@pytest.mark.parametrize("written_of_a_line", [0, 7])
def test_a_disk_too_full_for_a_line_keeps_what_was_said_before(
    whole: Path, monkeypatch: pytest.MonkeyPatch, written_of_a_line: int
) -> None:
    really = os.write

    def full(descriptor: int, data: Any) -> int:
        if not written_of_a_line:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(descriptor, bytes(data)[:written_of_a_line])

    part = Part(whole, SIZE)
    part.write(0, CONTENT[:100])
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            part.write(100, CONTENT[100:200])
        with pytest.raises(OSError, match="No space"):
            part.flush(tuple(part.here))
    part.write(300, CONTENT[300:400])
    part.close()

    assert held(whole) == [(0, 100), (300, 400)]
    assert len(list(whole.parent.iterdir())) == 2, "no draft is left"


def test_a_disk_too_full_for_a_journal_keeps_the_old_one(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written(whole, (0, 100))
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            Part(whole, SIZE)

    assert held(whole) == [(0, 100)]


def test_no_descriptor_is_left_open(whole: Path) -> None:
    before = {d.name for d in OPEN.iterdir()} if sys.platform == "linux" else set()

    written(whole, (0, 100), flushed=True)
    part = Part(whole, SIZE)
    part.flush(())
    part.close()
    part.close()

    if sys.platform == "linux":
        assert {d.name for d in OPEN.iterdir()} == before
