"""How connections work together: what one meets, the others need not."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.errors import NoNetwork
from localllm.transfer import fetching
from localllm.transfer.digests import sha256
from localllm.transfer.failures import TryAgain
from localllm.transfer.fetching import Fetching
from localllm.transfer.manner import Manner
from localllm.transfer.pace import Pace
from localllm.transfer.part import Part
from localllm.transfer.wanted import Wanted

pytestmark = pytest.mark.anyio
SIZE = 16 << 20
HEX = "a" * 64


class Silence(Exception):
    """An answer that begins, and then nothing comes any more."""


class Nothing(Exception):
    """An answer that ends before it has begun."""


@dataclass
class Answer:
    start: int
    end: int
    instead: Exception | None = None
    is_whole: bool = False
    _is_read: bool = False

    async def more(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if isinstance(self.instead, Silence):
            await anyio.sleep_forever()
        is_over = self._is_read or isinstance(self.instead, Nothing)
        self._is_read = True
        return b"" if is_over else bytes(self.end - self.start)


@dataclass
class Line:
    """Stands in for a server: answers each request as a function of its number says."""

    answers: Callable[[int], Exception | None]
    wanted: Wanted = field(default_factory=lambda: Wanted("http://x/file", sha256(HEX), SIZE))
    asked: list[tuple[int, int]] = field(default_factory=list)

    @asynccontextmanager
    async def ask(self, start: int, end: int) -> AsyncIterator[Any]:
        self.asked.append((start, end))
        failure = self.answers(len(self.asked))
        await anyio.lowlevel.checkpoint()
        if failure is not None and not isinstance(failure, Silence | Nothing):
            raise failure
        yield Answer(start, end, failure)


@pytest.fixture
def part(tmp_path: Path) -> Any:
    part = Part(tmp_path / "whole", SIZE)
    yield part
    part.close()


async def run(line: Line, part: Part, notes: list[str | None] | None = None) -> str:
    note = (notes if notes is not None else []).append
    return await Fetching(line, part, Manner(6, note=note)).run()  # type: ignore[arg-type]


async def test_a_line_that_goes_down_is_one_pause_for_all_connections(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else six connections use ten minutes of patience up in less than two."""
    slept: list[float] = []

    async def note(pause_s: float) -> None:
        slept.append(pause_s)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(anyio, "sleep", note)
    line = Line(lambda number: None if number <= 6 else TryAgain("down"))

    with pytest.raises(NoNetwork):
        await run(line, part)

    assert 500 < sum(slept) <= 605
    assert len(line.asked) >= 5 * len(slept)


async def test_what_is_in_the_way_is_said_and_taken_back(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.transfer.patience._FIRST_S", 0.001)
    notes: list[str | None] = []
    line = Line(lambda number: TryAgain("the line is cut") if number == 3 else None)

    await run(line, part, notes)

    assert notes == ["the line is cut: again in 0 s", None]


async def test_connections_that_are_too_many_rest_and_come_back(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_REST_S", 0.0)
    notes: list[str | None] = []
    line = Line(lambda number: TryAgain("429", busy=True) if 2 <= number <= 6 else None)

    await run(line, part, notes)

    assert part.here.total == SIZE
    assert notes == [], "the one that works waits for nobody"


async def test_a_connection_that_falls_silent_does_not_hold_up_the_end(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.transfer.board._WORTH_S", 0.01)
    monkeypatch.setattr(fetching, "_LOOK_AGAIN_S", 0.01)

    with anyio.fail_after(10):
        await run(Line(lambda number: Silence() if number == 3 else None), part)

    assert part.here.total == SIZE


async def test_an_answer_with_nothing_in_it_is_not_asked_for_again_at_once(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.transfer.patience._FIRST_S", 0.001)
    notes: list[str | None] = []

    await run(Line(lambda number: Nothing() if number == 3 else None), part, notes)

    assert str(notes[0]).startswith("the answer ended 699050 bytes before its end")


async def test_the_disks_failure_while_it_flushes_ends_it_with_that(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fetching, "_FLUSH_BYTES", 1)
    monkeypatch.setattr(os, "fsync", fails)

    with pytest.raises(OSError, match="Input/output error"):
        await run(Line(lambda _: None), part)


async def test_the_disks_failure_while_it_hashes_ends_it_with_that(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fails)

    with pytest.raises(OSError, match="Input/output error"):
        await run(Line(lambda _: None), part)


async def test_what_was_flushed_in_between_outlives_the_machine(
    part: Part, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetching, "_FLUSH_BYTES", 1 << 20)
    monkeypatch.setattr(fetching, "_REST_S", 0.0)
    failure = NoNetwork("Over.", why="of the test", fix="none")

    with pytest.raises(NoNetwork):
        await run(Line(lambda number: None if number < 20 else failure), part)

    monkeypatch.setattr("localllm.transfer.journal.boot", lambda: b"another life....")
    again = Part(tmp_path / "whole", SIZE)
    assert again.here.total >= 1 << 20
    again.close()


async def test_at_a_slow_rate_one_connection_asks(part: Part) -> None:
    line = Line(lambda _: None)

    with anyio.move_on_after(0.2):
        await Fetching(line, part, Manner(6, Pace(1.0))).run()  # type: ignore[arg-type]

    assert len(line.asked) == 1
