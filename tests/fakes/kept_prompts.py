"""Prompts that are kept for an engine with slots, on a real disk, by a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from localllm.engine_client.client import EngineClient
from localllm.gateway.members import with_members
from localllm.gateway.prompt_parts import prompt_parts
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.keeping import IDLE_S, Keeping
from localllm.prefix.outline import outline_of
from localllm.prefix.prompt import Prompt
from localllm.prefix.running import Engine, Placed, Run
from localllm.prefix.shelf import Shelf
from localllm.prefix.warming import Warming
from tests.fakes.slotted_engine import CHAT, DEADLINE_S, SlottedEngine, a_slotted_engine
from tests.unit.prefix.a_prompt import KEY

DAY_S = 86_400.0
MIB = 1 << 20


class Clock:
    """Monotonic seconds, that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0

    def __call__(self) -> float:
        self.asked += 1
        return self.now


class Talk:
    """A conversation that begins with a system prompt."""

    def __init__(self, name: str, tokens: int = 1000) -> None:
        rules = f"Rule of {name}: do all things well. " * (tokens // 8)
        self.name = name
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": f"{name}. {rules}"}]

    def turn(self, words: str = "hi", **members: Any) -> bytes:
        """Say something; the answer is to be noted by `answered`."""
        self.messages.append({"role": "user", "content": words})
        return self.body(**members)

    def body(self, **members: Any) -> bytes:
        return json.dumps({"messages": self.messages, **members}).encode()

    def answered(self, answer: dict[str, Any]) -> None:
        self.messages.append(answer["choices"][0]["message"])


@dataclass(slots=True)
class Desk:
    """All of it, for one test."""

    server: SlottedEngine
    engine: Engine
    folder: Path
    shelf: Shelf
    keeping: Keeping
    clock: Clock
    budget: list[int]
    wall: list[float]
    """Unix seconds, of the shelf."""

    clients: list[EngineClient] = field(default_factory=list[EngineClient])

    def another_run(self, url: str | None = None) -> None:
        """The engine has ended, and a new process of it is there."""
        self.server.restart()
        client = EngineClient(url or self.engine.client._url, socket=None, key="a key")
        self.clients.append(client)
        self.engine = replace(self.engine, client=client)

    def holdings(self) -> list[Holding]:
        return self.keeping.run_of(self.engine).holdings

    def entries(self) -> list[Entry]:
        return sorted(self.shelf.entries(), key=lambda one: one.tokens)

    def names(self) -> list[str]:
        return sorted(f.name for f in self.folder.iterdir()) if self.folder.exists() else []

    @asynccontextmanager
    async def placed(
        self,
        body: bytes,
        conversation: str | None = None,
        path: str = CHAT,
        *,
        is_passing: bool = False,
    ) -> AsyncIterator[tuple[bytes, Placed | None]]:
        """Take a slot as the gateway does."""
        outline = outline_of(prompt_parts(path, body), KEY)
        prompt = Prompt(outline, path, body, conversation, is_passing)
        async with self.keeping.placed(self.engine, prompt) as placed:
            if placed is None or not self.engine.pins:
                yield body, placed
            else:
                yield with_members(body, {"id_slot": placed.slot}), placed

    async def ask(
        self, body: bytes, conversation: str | None = None, *, is_passing: bool = False
    ) -> dict[str, Any]:
        """Send a request the way it goes through the gateway."""
        async with self.placed(body, conversation, is_passing=is_passing) as (sent, placed):
            async with self.engine.client.post(CHAT, sent) as answer:
                assert answer.status == 200, await answer.text()
                said: dict[str, Any] = json.loads(await answer.read())
            if placed is not None:
                usage = said["usage"]
                placed.tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        return said

    async def turn(self, talk: Talk, words: str = "hi") -> int:
        """Say something in a conversation; gives the tokens that the engine read."""
        talk.answered(await self.ask(talk.turn(words), talk.name))
        return self.server.read[-1]

    async def until(self, true: Callable[[], Any], what: str) -> None:
        """Wait for something that nobody tells of."""
        with anyio.move_on_after(DEADLINE_S):
            while not true():
                await anyio.sleep(0.01)
        assert true(), what

    async def until_looked(self) -> None:
        """Wait until who waits for quiet has looked twice."""
        looked, is_quiet = list[Run](), self.keeping.is_quiet

        def look(run: Run, for_s: float = IDLE_S) -> bool:
            looked.append(run)
            return is_quiet(run, for_s)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.keeping, "is_quiet", look)
            await self.until(lambda: len(looked) > 1, "it has looked twice")

    async def keep(self, *, task_status: TaskStatus[None]) -> None:
        """Save what idle engines hold, as a task."""
        task_status.started()
        await self.keeping.run()


@asynccontextmanager
async def a_desk(
    folder: Path,
    *,
    slots: int = 2,
    kept: Kept = Kept.SAVED,
    pins: bool = True,
    on_disk: bool = True,
    clock: Clock | None = None,
) -> AsyncIterator[Desk]:
    """Set it up; leaving the block ends the engine."""
    prefixes, budget, wall = folder / "prefixes", [100 * MIB], [10 * DAY_S]
    clock = clock or Clock()
    shelf = Shelf(prefixes, lambda: budget[0], lambda: wall[0])
    keeping = Keeping(shelf if on_disk else None, clock)
    async with a_slotted_engine(prefixes, slots) as (server, url):
        client = EngineClient(url, socket=None, key="a key")
        engine = Engine(
            instance="m:q8:4096",
            slots=slots,
            pins=pins,
            kept=kept,
            key="model",
            model="m",
            client=client,
        )
        desk = Desk(server, engine, prefixes, shelf, keeping, clock, budget, wall, [client])
        prefixes.mkdir(mode=0o700)
        try:
            yield desk
        finally:
            server.go_on()
            for one in desk.clients:
                await one.aclose()


class Running(Clock):
    """Time that passes by itself, quickly: by a second with each look."""

    def __call__(self) -> float:
        self.now += 1
        return super().__call__()


async def on_disk(desk: Desk, *talks: Talk) -> None:
    """Have them on disk, and a new process that holds nothing."""
    for talk in talks:
        await desk.turn(talk)
        await desk.keeping.farewell(desk.engine.instance)
        desk.server.restart()
    desk.another_run()
    desk.server.done.clear()
    desk.server.chats.clear()


def warming(desk: Desk, *, reads_ahead: bool = True) -> Warming:
    return Warming(desk.keeping, reads_ahead=lambda: reads_ahead, now=lambda: desk.wall[0])


async def warm(desk: Desk, *, reads_ahead: bool = True) -> None:
    await warming(desk, reads_ahead=reads_ahead).warm(desk.engine)


@asynccontextmanager
async def being_warmed(desk: Desk) -> AsyncIterator[None]:
    """Warm it beside what the block does; it has to come to its end by itself."""
    desk.keeping.run_of(desk.engine)
    desk.clock.now += 1  # it has started, and nobody has come so far
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(warming(desk).warm, desk.engine)
        yield
