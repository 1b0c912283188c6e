"""A request is sent again for its prompt alone, and whoever does not want it any more ends it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.engine_client.client import EngineClient
from localllm.engine_client.read_ahead import read_ahead
from tests.fakes.slotted_engine import (
    CHAT,
    COMPLETIONS,
    Fault,
    SlottedEngine,
    a_slotted_engine,
)

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
MESSAGES = [{"role": "user", "content": "hello " * 100}]
WATCHED = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
"""An engine that writes nothing while it reads does not see that nobody waits any more."""


@asynccontextmanager
async def an_engine(folder: Path) -> AsyncIterator[tuple[SlottedEngine, EngineClient]]:
    async with a_slotted_engine(folder) as (engine, url):
        async with EngineClient(url, socket=None, key="a key") as client:
            yield engine, client


def a_body(**members: Any) -> bytes:
    return json.dumps({"messages": MESSAGES, **members}).encode()


async def test_the_prompt_is_read_and_its_tokens_are_told(tmp_path: Path) -> None:
    async with an_engine(tmp_path) as (engine, client):
        tokens = await read_ahead(client, CHAT, a_body(), 1)

        assert (tokens, engine.read) == (151, [151])
        assert [len(slot.text) > 600 for slot in engine.slots] == [False, True]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ({}, {}),
        ({"max_tokens": 900, "stream": True, "stream_options": {"include_usage": True}}, {}),
        ({"n_predict": 900, "max_completion_tokens": 900, "min_tokens": 9}, {}),
        ({"return_progress": False, "timings_per_token": True}, {}),
        ({"temperature": 0.25, "tools": [], "chat_template_kwargs": {"a": 1}}, None),
        ({"id_slot": 7}, {}),
    ],
)
async def test_what_is_of_the_answer_is_left_out_and_what_is_of_the_prompt_stays(
    tmp_path: Path, said: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    async with an_engine(tmp_path) as (engine, client):
        await read_ahead(client, CHAT, a_body(**said), 0)

        wanted = {"messages": MESSAGES, **WATCHED, "max_tokens": 1, "id_slot": 0}
        assert engine.chats == [{**wanted, **(said if sent is None else sent)}]


async def test_where_the_engine_chooses_no_slot_is_named(tmp_path: Path) -> None:
    async with an_engine(tmp_path) as (engine, client):
        await read_ahead(client, CHAT, a_body(), None)

        assert "id_slot" not in engine.chats[0]


async def test_a_completions_prompt_is_read_as_well(tmp_path: Path) -> None:
    async with an_engine(tmp_path) as (engine, client):
        assert await read_ahead(client, COMPLETIONS, b'{"prompt": "once upon a time"}', 0) == 4
        assert engine.read == [4]


async def test_who_cancels_it_ends_the_reading(tmp_path: Path) -> None:
    async with an_engine(tmp_path) as (engine, client):
        engine.faults["chat"] = Fault.HANGS
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_ahead, client, CHAT, a_body(), 0)
            await engine.until(lambda: engine.hangs == 1, "it is read")
            tasks.cancel_scope.cancel()

        await engine.until(lambda: engine.gone == 1, "the engine has seen it")


@pytest.mark.parametrize("fault", [Fault.REFUSES, Fault.DIES])
async def test_what_an_engine_does_not_read_is_none(tmp_path: Path, fault: Fault) -> None:
    async with an_engine(tmp_path) as (engine, client):
        engine.faults["chat"] = fault

        assert await read_ahead(client, CHAT, a_body(), 0) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"messages": \xff}'])
async def test_what_is_no_request_is_not_sent(tmp_path: Path, body: bytes) -> None:
    async with an_engine(tmp_path) as (engine, client):
        assert await read_ahead(client, CHAT, body, 0) is None
        assert engine.chats == []


async def test_of_a_client_that_was_closed_nothing_is_read(tmp_path: Path) -> None:
    async with an_engine(tmp_path) as (_, client):
        await client.aclose()

        assert await read_ahead(client, CHAT, a_body(), 0) is None
