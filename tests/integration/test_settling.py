"""What engines have written is taken in while those go on for whom it was written."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import pytest

from localllm.prefix.shelf import Made, Shelf
from tests.fakes.kept_prompts import Talk, a_desk

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MOST_AGAIN = 64
NOT_FOR_EVER_S = 30.0


class SlowHash:
    """Holds up whatever is taken in, until it is let go on."""

    def __init__(self, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
        self.goes_on, self.begun = threading.Event(), 0
        self._take_in = shelf.take_in
        monkeypatch.setattr(shelf, "take_in", self._slow)

    def _slow(self, name: str, made: Made, *, written_bytes: int | None) -> object:
        self.begun += 1
        self.goes_on.wait(NOT_FOR_EVER_S)
        return self._take_in(name, made, written_bytes=written_bytes)


async def test_a_request_that_pushes_another_out_does_not_wait_until_that_is_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path, slots=1) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        slow = SlowHash(desk.shelf, monkeypatch)
        await desk.turn(Talk("one"))

        await desk.turn(Talk("two"))

        await desk.until(lambda: slow.begun == 1, "it is being hashed")
        assert desk.entries() == []
        slow.goes_on.set()
        await desk.until(lambda: len(desk.entries()) == 1, "it is taken in")
        tasks.cancel_scope.cancel()


async def test_who_comes_back_for_what_is_just_being_hashed_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path, slots=1) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        slow, talk = SlowHash(desk.shelf, monkeypatch), Talk("one")
        await desk.turn(talk)
        await desk.turn(Talk("two"))
        threading.Timer(0.2, slow.goes_on.set).start()

        assert await desk.turn(talk) <= MOST_AGAIN
        tasks.cancel_scope.cancel()


async def test_leave_is_taken_when_all_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        await desk.turn(Talk("one"))
        slow = SlowHash(desk.shelf, monkeypatch)
        threading.Timer(0.2, slow.goes_on.set).start()

        await desk.keeping.farewell(desk.engine.instance)

        assert len(desk.entries()) == 1
        tasks.cancel_scope.cancel()


async def test_who_writes_faster_than_the_disk_is_read_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_desk(tmp_path, slots=1) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        slow, done = SlowHash(desk.shelf, monkeypatch), list[str]()

        async def ask_all() -> None:
            for number in range(9):
                await desk.turn(Talk(f"{number}"))
                done.append(f"{number}")

        tasks.start_soon(ask_all)
        await desk.until(lambda: len(done) == 5, "so many go on")
        await desk.until(lambda: len(desk.names()) == 5, "the next one waits")
        slow.goes_on.set()

        await desk.until(lambda: len(done) == 9, "all are answered")
        await desk.until(lambda: len(desk.entries()) == 8, "and kept")
        tasks.cancel_scope.cancel()


async def test_what_cannot_be_taken_in_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = list[str]()

    def broken(name: str, *_: object, **__: object) -> None:
        tried.append(name)
        raise RuntimeError

    async with a_desk(tmp_path, slots=1) as desk, anyio.create_task_group() as tasks:
        await tasks.start(desk.keep)
        with monkeypatch.context() as patch:
            patch.setattr(desk.shelf, "take_in", broken)
            await desk.turn(Talk("one"))
            await desk.turn(Talk("two"))
            await desk.until(lambda: len(tried) == 1, "the first was not taken in")

        await desk.turn(Talk("three"))

        await desk.until(lambda: len(desk.entries()) == 1, "the next is kept")
        tasks.cancel_scope.cancel()
