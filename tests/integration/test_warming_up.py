"""An instance that becomes ready is given what will be asked for: with a real fleet and engine processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest

from localllm.daemon.parts import connect
from localllm.events import InstanceId, StateChanged
from localllm.events import ModelState as S
from localllm.gateway.placing import Placing
from localllm.gateway.warming_up import WarmingUp
from localllm.planning.planner import Planned
from localllm.prefix.keeping import Keeping
from localllm.prefix.shelf import Made, Shelf
from localllm.prefix.warming import Warming
from localllm.supervisor.hosted import Hosted
from tests.fakes.house import CHAT, DEADLINE_S, House, a_house, a_plan, asking
from tests.unit.prefix.a_prompt import blocks
from tests.unit.prefix.a_shelf import take_in_text

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
LONG = "abcdefghijklmnopqrstuvwx"
WORD = "the words that it is known by"


@dataclass(frozen=True, slots=True)
class Warmed:
    house: House
    placing: Placing
    shelf: Shelf

    async def keep(self, hosted: Hosted, text: str = WORD) -> None:
        """Have a request on disk, as if its engine had answered it before."""
        client = self.house.fleet.client_of(hosted)
        assert client is not None
        engine = await self.placing.engine(hosted, client)
        assert engine is not None
        made = Made(engine.key, engine.model, blocks(LONG), 800, CHAT)
        body = json.dumps({**asking(text), "stream": True}).encode()
        assert take_in_text(self.shelf, body, made) is not None

    async def until_read(self, times: int, what: str) -> None:
        with anyio.move_on_after(DEADLINE_S):
            while len(self.house.chats(WORD)) < times:
                await anyio.sleep(0.01)
        assert len(self.house.chats(WORD)) == times, what


@asynccontextmanager
async def a_warmed_house(folder: Path, *flags: str) -> AsyncIterator[Warmed]:
    shelf = Shelf(folder / "prefixes", lambda: 1 << 20, lambda: 0.0)
    keeping = Keeping(shelf)
    placing = Placing(keeping, b"a key of this house's own")
    async with a_house(folder, *flags) as house, anyio.create_task_group() as tasks:
        warming = Warming(keeping, now=lambda: 0.0)
        tasks.start_soon(WarmingUp(house.fleet, connect, placing, warming).run)
        await anyio.wait_all_tasks_blocked()
        yield Warmed(house, placing, shelf)
        tasks.cancel_scope.cancel()


def a_plan_on(folder: Path) -> Planned:
    """Of a file that is there."""
    planned, file = a_plan(), folder / "model.gguf"
    file.write_bytes(b"weights")
    return replace(planned, stored=replace(planned.stored, file=file))


def kill(hosted: Hosted) -> int:
    """End its process; gives the run that ends."""
    pid = hosted.runner.record.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return hosted.runner.record.run


async def is_back(hosted: Hosted, run: int) -> None:
    with anyio.fail_after(DEADLINE_S):
        while hosted.state is not S.READY or hosted.runner.record.run == run:
            await hosted.changed.wait()


async def test_an_engine_that_was_restarted_has_read_what_will_be_asked_for(tmp_path: Path) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        hosted = await warmed.house.ready(a_plan_on(tmp_path))
        await warmed.keep(hosted)

        for times in (1, 2):
            await is_back(hosted, kill(hosted))

            await warmed.until_read(times, "it is read once by each run")
        [body, _] = [json.loads(chat["body"]) for chat in warmed.house.chats(WORD)]
        assert (body["stream"], body["max_tokens"]) == (True, 1)


async def test_a_model_that_is_stopped_and_served_again_is_warmed(tmp_path: Path) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        planned = a_plan_on(tmp_path)
        await warmed.keep(await warmed.house.ready(planned))
        await warmed.house.fleet.stop(planned.model, "test")

        await warmed.house.ready(planned)

        await warmed.until_read(1, "it is read")


async def test_an_engine_whose_files_are_gone_is_served_and_not_warmed(tmp_path: Path) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        planned = a_plan_on(tmp_path)
        hosted = await warmed.house.ready(planned)
        await warmed.keep(hosted)
        planned.stored.file.unlink()

        await is_back(hosted, kill(hosted))

        assert (await warmed.house.ask(asking()))[0] == 200
        client = warmed.house.fleet.client_of(hosted)
        assert client is not None
        assert await warmed.placing.engine(hosted, client) is None


async def test_news_of_a_run_that_is_over_does_nothing_to_the_next_that_loads(
    tmp_path: Path,
) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        hosted = await warmed.house.ready(a_plan_on(tmp_path))
        await warmed.keep(hosted)
        warmed.house.flags[:] = ["--fake-load", "1"]
        kill(hosted)
        with anyio.fail_after(DEADLINE_S):
            while hosted.state is not S.STARTING or hosted.runner.spec is None:
                await anyio.sleep(0.005)

        news = StateChanged(hosted.id, hosted.planned.model, S.WARMING, S.READY, "late")
        warmed.house.fleet.tools.bus.publish(news)

        await is_back(hosted, 1)
        assert warmed.house.chats(WORD) == [], "it was not asked while it loaded"
        await warmed.until_read(1, "by the run that is ready")


async def test_news_of_one_that_nobody_knows_is_nothing(tmp_path: Path) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        news = StateChanged(InstanceId("gone"), "m", S.WARMING, S.READY, "late")
        warmed.house.fleet.tools.bus.publish(news)

        await warmed.house.ready(a_plan_on(tmp_path))


@pytest.mark.parametrize("end", ["crash", "stop"])
async def test_of_an_engine_that_has_ended_nothing_is_kept(tmp_path: Path, end: str) -> None:
    async with a_warmed_house(tmp_path) as warmed:
        hosted = await warmed.house.ready(a_plan_on(tmp_path))
        client = warmed.house.fleet.client_of(hosted)
        assert client is not None
        engine = await warmed.placing.engine(hosted, client)
        assert engine is not None
        run = warmed.placing.keeping.run_of(engine)

        if end == "crash":
            await is_back(hosted, kill(hosted))
        else:
            await warmed.house.fleet.stop(hosted.planned.model, "test")

        with anyio.fail_after(DEADLINE_S):
            while warmed.placing.keeping.is_current(run):
                await anyio.sleep(0.005)
