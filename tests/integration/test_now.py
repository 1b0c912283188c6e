"""How all is at this moment: at once, and without asking any engine, driver or disk for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from localllm.api.now_views import ModelNowView, NowView
from localllm.fit.plan import Memory, Placement
from localllm.hardware.machine import CPU, Machine
from localllm.hardware.vitals import Pressure, Vitals
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned
from localllm.units import GIB, MIB
from tests.fakes.house import DEADLINE_S, TOKEN, House, a_house, a_plan, asking

pytestmark = pytest.mark.anyio

NOW = "/api/v1/now"
SHORT = Vitals(2 * GIB, Pressure.WARN, "2.0 GiB of 64.0 GiB of memory is available", None, None, {})


async def now(house: House, **query: str) -> NowView:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with house.http.get(NOW, params=query, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return msgspec.json.decode(await answer.read(), type=NowView)


async def until(house: House, seen: Any) -> NowView:
    """Look until it is as wanted."""
    with anyio.fail_after(DEADLINE_S):
        while not seen(view := await now(house)):
            await anyio.sleep(0.01)
    return view


def holding(memory: Memory) -> Planned:
    """A model that takes this of the processor's memory."""
    planned = a_plan()
    placement = (Placement(CPU, 0, memory),)
    return replace(planned, plan=replace(planned.plan, placement=placement))


def only(view: NowView) -> ModelNowView:
    (model,) = view.models
    return model


async def test_before_anything_is_served_the_machine_is_shown(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        view = await now(house)

    cpu = view.devices[-1]
    assert (cpu.id, cpu.kind, cpu.held) == ("cpu", "cpu", [])
    assert cpu.memory_total is not None
    assert cpu.reserve == max(GIB, cpu.memory_total // 20)
    assert view.host.endswith(("Linux", "WSL2")) or "macOS" in view.host
    assert (view.models, view.pulls, view.warnings) == ([], [], [])
    assert (view.requests.live, view.requests.recent) == ([], [])
    assert view.saved is not None
    assert view.saved.tokens == 0


async def test_what_a_model_holds_of_a_device_adds_up_to_what_was_planned(tmp_path: Path) -> None:
    memory = Memory(
        weights=300 * MIB, kv_cache=80 * MIB, recurrent_state=5 * MIB, compute=40 * MIB, output=MIB
    )
    async with a_house(tmp_path) as house:
        hosted = await house.ready(holding(memory))
        view = await now(house)

    (part,) = view.devices[-1].held
    assert (part.instance, part.model) == (hosted.id, "small")
    assert (part.weights, part.cache) == (300 * MIB, 85 * MIB)
    assert part.weights + part.cache + part.other == pytest.approx(memory.total, abs=MIB)
    model = only(view)
    assert model.view.state == "ready"
    assert model.cache_share == 0.85


async def test_a_stopped_model_holds_nothing(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        await house.operations.stop("small")
        view = await now(house)

    assert view.devices[-1].held == []


async def test_tokens_grow_while_an_answer_is_written_and_stay_when_it_is_over(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        seen = list[int]()
        async with anyio.create_task_group() as tasks:
            body = {**asking(chunks=200, delay_s=0.005), "stream": True}
            tasks.start_soon(house.ask, body)
            first = await until(house, lambda view: only(view).generated > 0)
            assert first.requests.live[0].phase == "generating"
            assert only(first).view.requests.active == 1
            assert only(first).first_token is not None
            more = await until(house, lambda view: only(view).generated > only(first).generated)
            seen += [only(first).generated, only(more).generated]
        over = await until(house, lambda view: not view.requests.live)

    whole = over.requests.recent[0].generated_tokens
    assert 0 < seen[0] < seen[1] < only(over).generated == whole


async def test_of_what_is_over_no_more_is_told_than_was_asked_for(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        for _ in range(3):
            await house.ask(asking())
        two, none = await now(house, recent="2"), await now(house, recent="0")

    assert (len(two.requests.recent), len(none.requests.recent)) == (2, 0)


async def test_it_probes_once_and_asks_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = list[None]()
    real = Desk.probe

    def probe(desk: Desk) -> Machine:
        probes.append(None)
        return real(desk)

    monkeypatch.setattr(Desk, "probe", probe)
    async with a_house(tmp_path) as house:
        await house.ready()
        await now(house)
        probes_before, asked = len(probes), len(house.happened())
        for _ in range(20):
            await now(house)

        assert len(house.happened()) == asked
        assert len(probes) == probes_before


async def test_who_watches_sees_memory_within_a_glance_though_the_watch_sleeps(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        house.operations.watch.look = lambda *_: SHORT
        assert house.operations.watch.vitals is None
        view = await until(house, lambda view: view.devices[-1].memory_free is not None)

    cpu = view.devices[-1]
    assert cpu.memory_free == 2 * GIB
    assert cpu.memory_total is not None
    assert cpu.others == cpu.memory_total - 2 * GIB
    assert cpu.pressure == "warn"
    assert view.warnings == [], "a glance is not acted upon"


async def test_how_full_the_cache_is_comes_from_what_the_watchdog_was_told(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready()
        assert only(await now(house)).view.kv_used is None
        hosted.told_tokens = 1024
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(house.ask, {**asking(chunks=20, delay_s=0.05), "stream": True})
            view = await until(house, lambda view: only(view).view.requests.active == 1)
            tasks.cancel_scope.cancel()

    assert only(view).view.kv_used == 1024 / 4096


async def test_nobody_sees_it_without_the_token(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house, house.http.get(NOW) as answer:
        assert answer.status == 401
