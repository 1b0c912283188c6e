"""The load generator against small servers on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from localllm.bench import shooting
from localllm.bench.shooting import Target, shoot, shoot_all
from localllm.bench.shots import Shot
from tests.unit.bench.a_bench import DONE, STREAM, piece, usage

pytestmark = pytest.mark.anyio
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
SHOT = Shot("/v1/chat/completions", b'{"a": 1}')


@asynccontextmanager
async def a_server(answer: Answer) -> AsyncIterator[Target]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target(server.sockets[0].getsockname()[1], token="secret")


async def asked(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(SHOT.body))


async def test_it_asks_as_a_client_that_wants_its_prompt_kept_nowhere() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await asked(reader))
        writer.write(STREAM + piece("a") + usage(5, 0, 1) + DONE)

    async with a_server(answer) as target:
        (shown,) = await shoot_all(target, [SHOT])

    head = heard[0].decode()
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert "Authorization: Bearer secret\r\n" in head
    assert "User-Agent: localllm-bench/" in head
    assert "x-localllm-passing: 1\r\n" in head
    assert head.endswith('{"a": 1}')
    assert (shown.error, shown.prompt_tokens, shown.tokens) == (None, 5, 1)


async def test_no_more_are_under_way_than_there_is_room_for() -> None:
    under_way, most = 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        await asked(reader)
        under_way += 1
        most = max(most, under_way)
        await anyio.sleep(0.05)  # so that all who may come are there
        under_way -= 1
        writer.write(STREAM + piece("a") + DONE)

    async with a_server(answer) as target:
        shown = await shoot_all(target, [SHOT] * 6, at_once=2)

    assert [one.error for one in shown] == [None] * 6
    assert most == 2


async def test_what_is_due_later_is_sent_later_and_waits_for_no_answer() -> None:
    all_are_there = anyio.Event()
    came: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await asked(reader))
        if len(came) == 3:
            all_are_there.set()
        await all_are_there.wait()
        writer.write(STREAM + piece("a") + DONE)

    shots = [Shot(SHOT.path, SHOT.body, at_s=0.05 * n, name=str(n)) for n in range(3)]
    async with a_server(answer) as target:
        shown = await shoot_all(target, shots)

    assert [one.shot.name for one in shown] == ["0", "1", "2"]
    assert all(one.sent_at >= one.shot.at_s for one in shown)
    assert [one.error for one in shown] == [None] * 3


async def test_failures_are_outcomes_and_stop_nothing() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(STREAM + piece("half"))

    async with a_server(answer) as target:
        broken = await shoot_all(target, [SHOT, SHOT])
    nobody = await shoot_all(target, [SHOT])

    assert [one.error for one in broken] == ["the answer broke off"] * 2
    assert "failed" in (nobody[0].error or "")


async def test_an_answer_that_does_not_end_is_cut_at_its_deadline() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(STREAM + piece("a"))
        await reader.read()

    async with a_server(answer) as target:
        arrival = await shoot(target, SHOT, began=0.0, within_s=0.2)

    assert arrival.error == "not over within 0 s"
    assert arrival.pieces


async def test_an_answer_without_bounds_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shooting, "_MOST_BYTES", 1000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(STREAM)
        while not writer.transport.is_closing():
            writer.write(piece("x" * 100))
            await writer.drain()

    async with a_server(answer) as target:
        arrival = await shoot(target, SHOT, began=0.0)

    assert "over" in (arrival.error or "")


async def test_a_long_volley_is_read_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shooting, "_MOST_KEPT_BYTES", 1)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(STREAM + piece("a") + usage(5, 0, 1) + DONE)

    async with a_server(answer) as target:
        shown = await shoot_all(target, [SHOT] * 3)

    assert [one.prompt_tokens for one in shown] == [5, 5, 5]
