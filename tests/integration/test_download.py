"""Downloads over real connections that break, and onto disks that are full."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.errors import NoNetwork, NoSpace
from localllm.transfer.disk import DiskFailed
from localllm.transfer.part import Part
from tests.fakes.release_server import Fault
from tests.integration.a_download import ALL, CONTENT, OTHER, House, a_house, noted_pauses

pytestmark = pytest.mark.anyio
LOST_PER_CUT = 32 << 10
"""What the HTTP library may hold back when a connection breaks."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with a_house(tmp_path) as house:
        yield house


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return noted_pauses(monkeypatch)


async def test_a_file_arrives_under_its_hash_and_is_not_fetched_twice(house: House) -> None:
    first = await house.fetch()
    again = await house.fetch()

    assert first == again == house.whole
    assert first.read_bytes() == CONTENT
    assert list(house.folder.iterdir()) == [first]
    assert house.asked == [ALL]


@pytest.mark.parametrize(
    "cuts",
    [
        [0],
        [1],
        [16_383, 16_384, 16_385],
        [65_536, 0, 65_536],
        [(1 << 20) - 1, 1, 1 << 20],
        [len(CONTENT) - 1],
        [1_100_000, 1_250_000],  # while what came before is written down
        list(range(1_000, 500_000, 49_999)),
    ],
)
async def test_a_connection_that_breaks_loses_less_than_32_kib(
    house: House, cuts: list[int]
) -> None:
    house.fails(*(Fault(cut_at=cut) for cut in cuts))

    assert (await house.fetch()).read_bytes() == CONTENT

    assert len(house.asked) == len(cuts) + 1
    assert house.outside.sent[house.path] <= len(CONTENT) + len(cuts) * LOST_PER_CUT


async def test_what_is_told_only_grows_and_ends_with_all_of_it(house: House) -> None:
    house.fails(Fault(cut_at=1_500_000), Fault(cut_at=100_000))

    await house.fetch()

    assert house.told == sorted(house.told)
    assert house.told[-1] == len(CONTENT)


async def test_a_part_of_a_process_that_was_killed_is_taken_up(house: House) -> None:
    house.has_part(CONTENT[:1_234_567])

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked == ["bytes=1234567-2999999"]
    assert house.outside.sent[house.path] == len(CONTENT) - 1_234_567


async def test_a_download_that_is_cancelled_keeps_what_has_come(house: House) -> None:
    with anyio.CancelScope() as scope:
        await house.fetch(lambda _: scope.cancel())

    kept = house.here_bytes
    assert 0 < kept < len(CONTENT)
    assert (await house.fetch()).read_bytes() == CONTENT
    assert house.asked == [ALL, f"bytes={kept}-2999999"]


@pytest.mark.parametrize("part", [OTHER[:2_000_000], OTHER, CONTENT[:-1] + b"xyz"])
async def test_a_part_of_something_else_is_thrown_away(house: House, part: bytes) -> None:
    house.has_part(part)

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked[-1] == ALL
    assert list(house.folder.iterdir()) == [house.whole]


async def test_what_follows_the_file_in_its_part_is_cut_off(house: House) -> None:
    house.has_part(CONTENT + b"more")

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked == []


async def test_a_part_without_a_journal_counts_for_nothing(house: House) -> None:
    house.folder.mkdir()
    house.part.write_bytes(CONTENT)

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked == [ALL]
    assert list(house.folder.iterdir()) == [house.whole]


async def test_a_server_without_ranges_is_asked_for_all_of_it_again(house: House) -> None:
    house.fails(Fault(cut_at=2_000_000, no_ranges=True), Fault(no_ranges=True))

    assert (await house.fetch()).read_bytes() == CONTENT


async def test_a_server_that_has_lost_its_ranges_costs_nothing_of_what_was_here(
    house: House,
) -> None:
    house.has_part(CONTENT[:2_000_000])
    house.fails(Fault(cut_at=1_000_000, no_ranges=True))

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked == ["bytes=2000000-2999999"] * 2


async def test_a_server_without_ranges_that_breaks_every_time_is_given_up(
    house: House, slept: list[float]
) -> None:
    house.fails(*[Fault(cut_at=1000, no_ranges=True)] * 100)

    await house.refusal(NoNetwork)

    assert slept[:4] == pytest.approx([0.5, 1.0, 2.0, 4.0], rel=0.25)
    assert 500 < sum(slept) <= 600


async def test_a_server_that_sends_less_than_was_asked_for_is_asked_for_more_at_once(
    house: House, slept: list[float]
) -> None:
    house.fails(*[Fault(most=700_000)] * 3)

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked[1:3] == ["bytes=700000-2999999", "bytes=1400000-2999999"]
    assert slept == []


async def test_a_disk_without_room_is_known_before_anything_is_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = len(CONTENT) + (10 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))

    error = await house.refusal(NoSpace)

    assert "54 MiB too little" in error.why, "64 MiB are to be left"
    assert house.asked == []
    assert list(house.folder.iterdir()) == []


class SmallDisk:
    """Has room for so many bytes more of a part, and then says so, as Linux does."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.pwrite

    def pwrite(self, descriptor: int, data: Any, at: int) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, memoryview(data)[: self.room], at)
        self.room -= written
        return written


@pytest.mark.parametrize("room", [0, 5_000, (1 << 20) + 5_000, len(CONTENT) - 1])
async def test_a_disk_that_fills_up_keeps_what_has_come(
    house: House, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", SmallDisk(room).pwrite)
        error = await house.refusal(NoSpace)
    assert error.why == f"{house.folder}: No space left on device"
    assert house.here_bytes == room

    await house.fetch()

    assert house.asked[-1] == f"bytes={room}-2999999"
    assert house.whole.read_bytes() == CONTENT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_a_quota_and_the_largest_file_there_may_be_are_no_room_either(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", fails)

    assert os.strerror(number) in (await house.refusal(NoSpace)).why


async def test_a_disk_that_fails_otherwise_is_an_error_with_its_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pwrite", fails)

    error = await house.refusal(DiskFailed)

    assert "Input/output error" in error.why


async def test_a_part_that_is_removed_meanwhile_is_an_error(house: House) -> None:
    def remove(_: int) -> None:
        house.part.unlink(missing_ok=True)

    with pytest.raises(DiskFailed) as caught:
        await house.fetch(remove)

    assert str(house.part) in caught.value.why
    assert (await house.fetch()).read_bytes() == CONTENT


async def test_a_part_that_is_made_shorter_meanwhile_is_fetched_again(house: House) -> None:
    shortened: list[int] = []

    def shorten(here: int) -> None:
        if not shortened:
            shortened.append(here)
            os.truncate(house.part, 10)

    assert (await house.fetch(shorten)).read_bytes() == CONTENT


async def test_an_error_of_who_is_told_is_that_error_and_loses_nothing(house: House) -> None:
    def fail(_: int) -> None:
        raise NoNetwork("Enough.", why="who is told has seen enough", fix="nothing")

    error = await house.refusal_to(fail)

    assert error.what == "Enough."
    assert house.here_bytes > 0


async def test_a_pipe_that_breaks_where_it_is_told_is_no_broken_connection(house: House) -> None:
    def fail(_: int) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(DiskFailed):
        await house.fetch(fail)

    assert len(house.asked) == 1


async def test_a_part_is_not_written_through_a_link(house: House) -> None:
    house.folder.mkdir()
    (other := house.folder.with_name("other")).write_bytes(b"mine")
    house.part.symlink_to(other)

    await house.fetch()

    assert other.read_bytes() == b"mine"
    assert not house.whole.is_symlink()


async def test_each_byte_is_read_back_for_the_hash_once_and_the_whole_never_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.fails(Fault(cut_at=1_000_000), Fault(cut_at=500_000))
    read, really = list[int](), Part.read

    def counted(part: Part, at: int, count: int) -> bytes:
        data = really(part, at, count)
        read.append(len(data))
        return data

    monkeypatch.setattr(Part, "read", counted)

    await house.fetch()

    assert sum(read) == len(CONTENT)
