"""Requests that wait for one instance: in turns, bounded, and long ones while its cache is full."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.events import ModelState as S
from localllm.gateway.client_stream import Patience
from localllm.planning.planner import Planned
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.watchdog import Watchdog
from tests.fakes.house import House, a_house, a_plan, asking
from tests.integration.test_fleet import until

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]


def with_slots(slots: int, *, context: int = 4096) -> Planned:
    planned = a_plan(context=context)
    return replace(planned, plan=replace(planned.plan, parallel=slots))


class Clients:
    """Ask from several programs at once, and note in which order they are answered."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.answered: list[str] = []
        self.statuses: list[int] = []

    async def ask(self, who: str, *, padding: int = 0, delay_s: float = 0.1) -> None:
        body: dict[str, Any] = asking(chunks=1, delay_s=delay_s)
        body["padding"] = "x" * padding
        status, _, _ = await self.house.ask(body, **{"x-session-id": who})
        self.answered.append(who)
        self.statuses.append(status)


async def waiting(hosted: Hosted, count: int) -> None:
    await until(lambda: hosted.waiting == count, f"{count} wait, not {hosted.waiting}")


async def test_an_engine_gets_no_more_requests_than_it_has_slots(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted, clients = await house.ready(with_slots(2)), Clients(house)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(clients.ask, "one")
            await waiting(hosted, 3)
            assert (hosted.in_flight, hosted.lobby.held) == (2, "all 2 slots are busy")

    assert clients.statuses == [200] * 5
    assert (hosted.in_flight, hosted.waiting, hosted.lobby.held) == (0, 0, None)


async def test_a_client_with_many_requests_does_not_hold_up_one_with_few(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted, clients = await house.ready(with_slots(1)), Clients(house)
        async with anyio.create_task_group() as tasks:
            for already in range(6):
                tasks.start_soon(clients.ask, "greedy")
                await until(lambda n=already: hosted.in_flight + hosted.waiting == n + 1, "asked")
            for already in range(2):
                tasks.start_soon(clients.ask, "modest")
                await waiting(hosted, 6 + already)

    assert [clients.answered.index("modest"), *clients.answered[-3:]] == [2, *["greedy"] * 3]


async def test_a_long_prompt_waits_while_the_cache_is_full_and_short_ones_pass_it(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path) as house:
        hosted, clients = await house.ready(with_slots(4, context=16_384)), Clients(house)
        long = 30_000  # bytes: some 8600 tokens
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: clients.ask("first", padding=long, delay_s=1.0))
            await until(lambda: hosted.in_flight == 1, "it reads")
            tasks.start_soon(lambda: clients.ask("second", padding=long))
            await waiting(hosted, 1)
            held = hosted.lobby.held
            await clients.ask("short")

    assert clients.answered == ["short", "first", "second"]
    assert "the cache is 53 % full: a prompt of about 86" in (held or "")


async def test_who_leaves_the_queue_leaves_its_place(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted, clients = await house.ready(with_slots(1)), Clients(house)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: clients.ask("first", delay_s=1.0))
            await until(lambda: hosted.in_flight == 1, "it is served")
            async with anyio.create_task_group() as leaving:
                leaving.start_soon(clients.ask, "leaver")
                await waiting(hosted, 1)
                leaving.cancel_scope.cancel()
            await waiting(hosted, 0)
            assert hosted.in_flight == 1
        assert hosted.in_flight == 0

    assert clients.answered == ["first"]


async def test_a_request_that_waits_too_long_for_its_turn_is_told_to_come_again(
    tmp_path: Path,
) -> None:
    async with a_house(tmp_path, wait_s=0.3) as house:
        hosted, clients = await house.ready(with_slots(1)), Clients(house)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: clients.ask("first", delay_s=1.5))
            await until(lambda: hosted.in_flight == 1, "it is served")

            status, headers, text = await house.ask(asking())

    assert (status, headers["Retry-After"]) == (429, "5")
    assert "it waited for 0 s: the only slot is busy" in json.loads(text)["error"]["message"]


async def test_a_stream_that_waits_for_its_turn_shows_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.fakes.house.PATIENCE", Patience(open_after_s=0.05))
    async with a_house(tmp_path) as house:
        hosted, clients = await house.ready(with_slots(1)), Clients(house)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: clients.ask("first", delay_s=1.0))
            await until(lambda: hosted.in_flight == 1, "it is served")

            status, _, text = await house.ask({**asking(), "stream": True})

    assert (status, text.startswith(b": waiting for the model\n\n")) == (200, True)
    assert text.endswith(b"data: [DONE]\n\n")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[House, float], Watchdog]:
    monkeypatch.setattr("localllm.supervisor.watchdog._LOOK_EVERY_S", 0.05)
    monkeypatch.setattr("localllm.supervisor.watchdog._ANSWERS_WITHIN_S", 0.2)
    return lambda house, hang_after_s: Watchdog(house.fleet, hang_after_s)


async def test_an_engine_that_shows_no_progress_is_ended_and_the_waiting_are_served(
    tmp_path: Path, watched: Callable[[House, float], Watchdog]
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready(with_slots(1))
        statuses: list[int] = []

        async def ask(**script: Any) -> None:
            statuses.append((await house.ask(asking(**script)))[0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched(house, 1.0).run)
            async with anyio.create_task_group() as asks:
                asks.start_soon(lambda: ask(hang=True))
                await until(lambda: hosted.in_flight == 1, "it hangs")
                os.kill(hosted.runner.record.pid or 0, signal.SIGSTOP)
                asks.start_soon(ask)
            tasks.cancel_scope.cancel()

        assert sorted(statuses) == [200, 502]
        assert (hosted.state, hosted.runner.record.run) == (S.READY, 2)


async def test_an_engine_that_goes_on_sending_is_left_alone(
    tmp_path: Path, watched: Callable[[House, float], Watchdog]
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready(with_slots(1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched(house, 1.0).run)

            status, _, _ = await house.ask({**asking(chunks=20, delay_s=0.2), "stream": True})

            tasks.cancel_scope.cancel()

        assert (status, hosted.runner.record.run) == (200, 1)


async def test_of_an_engine_that_dies_only_its_own_requests_fail(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready(with_slots(2))
        statuses: list[int] = []

        async def ask(**script: Any) -> None:
            statuses.append((await house.ask(asking(**script)))[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(lambda: ask(chunks=1, delay_s=5.0))
            await until(lambda: hosted.in_flight == 2, "both are served")
            for _ in range(6):
                tasks.start_soon(ask)
            await waiting(hosted, 6)
            os.kill(hosted.runner.record.pid or 0, signal.SIGKILL)

        assert sorted(statuses) == [*[200] * 6, 502, 502]


async def test_a_client_that_does_not_read_is_no_reason_to_end_an_engine(
    tmp_path: Path, watched: Callable[[House, float], Watchdog]
) -> None:
    async with a_house(tmp_path) as house:
        hosted = await house.ready(with_slots(2))
        body = json.dumps({**asking(chunks=200_000), "stream": True}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watched(house, 0.5).run)
            async with await anyio.connect_tcp("127.0.0.1", house.port) as client:
                await client.send(head.encode() + body)
                await until(lambda: hosted.flow.blocked == 1, "the client's buffer is full")
                blocked = hosted.flow.moved
                for _ in range(8):  # as many looks as would be too many
                    assert (await house.ask(asking(chunks=1, delay_s=0.2)))[0] == 200
                assert hosted.flow.moved == blocked + 8, "nothing but these"
            tasks.cancel_scope.cancel()

        assert hosted.runner.record.run == 1
