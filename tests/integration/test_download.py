"""Downloads over real connections that break, and onto disks that are full."""

from __future__ import annotations

import errno
import io
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import anyio
import pytest

from localllm.errors import NoNetwork, NoSpace
from tests.fakes.release_server import Fault
from tests.integration.a_download import CONTENT, OTHER, House, a_house, noted_pauses

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
    assert house.asked == [None]


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

    assert all(before < after for before, after in itertools.pairwise(house.told))
    assert house.told[-1] == len(CONTENT)


async def test_a_part_of_a_process_that_was_killed_is_taken_up(house: House) -> None:
    house.has_part(CONTENT[:1_234_567])

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked == ["bytes=1234567-"]
    assert house.outside.sent[house.path] == len(CONTENT) - 1_234_567


async def test_a_download_that_is_cancelled_keeps_what_has_come(house: House) -> None:
    with anyio.CancelScope() as scope:
        await house.fetch(lambda _: scope.cancel())

    kept = house.part.stat().st_size
    assert 0 < kept < len(CONTENT)
    assert (await house.fetch()).read_bytes() == CONTENT
    assert house.asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize(
    "part", [OTHER[:2_000_000], OTHER, CONTENT + b"more", CONTENT[:-1] + b"xyz"]
)
async def test_a_part_of_something_else_is_thrown_away(house: House, part: bytes) -> None:
    house.has_part(part)

    assert (await house.fetch()).read_bytes() == CONTENT

    assert house.asked[-1] is None
    assert list(house.folder.iterdir()) == [house.whole]


async def test_a_server_without_ranges_is_asked_for_all_of_it_again(house: House) -> None:
    house.fails(Fault(cut_at=2_000_000, no_ranges=True), Fault(no_ranges=True))

    assert (await house.fetch()).read_bytes() == CONTENT


async def test_a_server_without_ranges_that_breaks_every_time_is_given_up(
    house: House, slept: list[float]
) -> None:
    house.fails(*[Fault(cut_at=1000, no_ranges=True)] * 20)

    await house.refusal(NoNetwork)

    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0]


async def test_a_disk_without_room_is_known_before_anything_is_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = len(CONTENT) + (10 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, free))

    error = await house.refusal(NoSpace)

    assert "54.0 MiB too little" in error.why, "64 MiB are to be left"
    assert house.asked == []


class FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes more, and then says so, as Linux does."""

    room = 0
    then = 0
    """Room once that was said: somebody has emptied the bin."""

    def write(self, data: Any) -> int:
        if FullDisk.room <= 0:
            FullDisk.room = FullDisk.then
            raise OSError(errno.ENOSPC, "No space left on device")
        written = super().write(memoryview(data)[: FullDisk.room])
        FullDisk.room -= written
        return written


@pytest.mark.parametrize("then", [0, 1 << 30])
@pytest.mark.parametrize("room", [0, 5_000, (1 << 20) + 5_000])
async def test_a_disk_that_fills_up_keeps_what_has_come(
    house: House, monkeypatch: pytest.MonkeyPatch, room: int, then: int
) -> None:
    really = Path.open

    def opened(path: Path, mode: str) -> IO[Any]:
        return io.BufferedWriter(FullDisk(path, mode)) if mode == "ab" else really(path, mode)

    FullDisk.room, FullDisk.then = room, then
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", opened)
        error = await house.refusal(NoSpace)
    assert error.why == f"{house.folder}: No space left on device"
    assert house.part.read_bytes() == CONTENT[:room]

    await house.fetch()

    assert house.asked[-1] == (f"bytes={room}-" if room else None)
    assert house.whole.read_bytes() == CONTENT
