"""Who ends while nothing is wrong with it is taken leave of first, whatever ends it."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from localllm.engines.base import LaunchSpec, Serving
from localllm.events import InstanceId
from localllm.events import ModelState as S
from localllm.planning.planner import Planned, serving_of
from localllm.supervisor.hosted import Hosted, Terms
from tests.fakes.house import House, a_house
from tests.integration.test_fleet import is_in, sized, until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

A, B = sized("a", 10), sized("b", 10)
"""Of which only one fits."""


@asynccontextmanager
async def taking_leave(folder: Path) -> AsyncIterator[tuple[House, list[tuple[str, bool]]]]:
    """A house that notes of whom leave is taken, and whether its engine still answers then."""
    taken: list[tuple[str, bool]] = []
    async with a_house(folder) as house:

        async def farewell(instance: InstanceId) -> None:
            hosted = next(h for h in house.fleet.instances() if h.id == instance)
            client = house.fleet.client_of(hosted)
            taken.append((hosted.planned.model, client is not None and await client.is_healthy()))

        house.fleet.tools = replace(house.fleet.tools, farewell=farewell)
        yield house, taken


async def stop(house: House, _: Hosted) -> None:
    await house.fleet.stop(A.model, "by the user")


async def unload(house: House, hosted: Hosted) -> None:
    house.fleet.unload(hosted, "idle")
    await is_in(hosted, S.STOPPED)


async def evict(house: House, hosted: Hosted) -> None:
    await house.ready(B)
    assert hosted.state is S.STOPPED


async def switch(house: House, _: Hosted) -> None:
    new = house.fleet.serve(B, serving_of(B, silence_s=20.0), Terms(replaces_current=True))[0]
    await is_in(new, S.READY)
    await until(lambda: len(house.fleet.instances()) == 1, "the old one is gone")


async def close(house: House, _: Hosted) -> None:
    await house.fleet.close()


@pytest.mark.parametrize("end", [stop, unload, evict, switch, close])
async def test_leave_is_taken_once_of_an_engine_that_still_answers(
    tmp_path: Path, end: Callable[[House, Hosted], Awaitable[None]]
) -> None:
    async with taking_leave(tmp_path) as (house, taken):
        hosted = await house.ready(A)

        await end(house, hosted)

        assert taken == [("a", True)]


async def test_an_engine_that_is_told_to_end_all_the_same_while_leave_is_taken_ends_once(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        begun, go_on, taken = anyio.Event(), anyio.Event(), list[InstanceId]()

        async def farewell(instance: InstanceId) -> None:
            taken.append(instance)
            begun.set()
            await go_on.wait()

        house.fleet.tools = replace(house.fleet.tools, farewell=farewell)
        hosted = await house.ready(A)
        house.fleet.unload(hosted, "idle")
        await begun.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.fleet.close)
            await anyio.wait_all_tasks_blocked()
            assert hosted.state is S.STOPPING
            go_on.set()

        assert (hosted.state, taken) == (S.STOPPED, [hosted.id])


def with_folder(planned: Planned, folder: Path | None) -> Serving:
    return replace(serving_of(planned, silence_s=20.0), prefix_folder=folder)


def noting_launches(house: House) -> list[Path | None]:
    """What the engines are told from now on."""
    told: list[Path | None] = []
    launch = house.fleet.tools.launch

    def noted(planned: Planned, serving: Serving) -> LaunchSpec:
        told.append(serving.prefix_folder)
        return launch(planned, serving)

    house.fleet.tools = replace(house.fleet.tools, launch=noted)
    return told


async def test_the_folder_for_what_slots_hold_is_its_users_alone_and_there_at_the_start(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "state" / "prefixes"
    async with a_house(tmp_path) as house:
        told = noting_launches(house)
        hosted, _ = house.fleet.serve(A, with_folder(A, folder))
        await is_in(hosted, S.READY)

        assert (told, stat.S_IMODE(folder.stat().st_mode)) == ([folder], 0o700)


async def test_an_engine_starts_without_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    async with a_house(tmp_path) as house:
        told = noting_launches(house)
        hosted, _ = house.fleet.serve(A, with_folder(A, tmp_path / "a file" / "prefixes"))
        await is_in(hosted, S.READY)

        assert told == [None]


async def test_the_same_with_another_folder_is_the_same(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready(A)

        again, started = house.fleet.serve(A, with_folder(A, tmp_path / "prefixes"))

        assert (again is hosted, started) == (True, False)
