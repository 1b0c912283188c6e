"""Prompts are cut by the engine that answered them, also when a pooled connection to it is dead."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from localllm.engine_client.chat_tokens import count_chat_tokens, fetch_chat_tokens

pytestmark = pytest.mark.anyio
ANSWERS = {"/apply-template": {"prompt": "<s>hi"}, "/tokenize": {"tokens": [1, 7, 9]}}


@dataclass(slots=True)
class Answer:
    status: int
    said: Any

    async def read(self) -> bytes:
        return json.dumps(self.said).encode()


@dataclass(slots=True)
class Engine:
    """Of the client's methods the one that is used."""

    pooled_are_dead: bool = False
    all_are_dead: bool = False
    status: int = 200
    answers: dict[str, Any] = field(default_factory=lambda: dict(ANSWERS))
    asked: list[tuple[str, Any]] = field(default_factory=list)

    @asynccontextmanager
    async def post(self, path: str, body: bytes, *, fresh: bool = False) -> AsyncIterator[Answer]:
        if self.all_are_dead or (self.pooled_are_dead and not fresh):
            raise aiohttp.ServerDisconnectedError
        self.asked.append((path, json.loads(body)))
        yield Answer(self.status, self.answers[path])


async def tokens(engine: Engine) -> Any:
    return await fetch_chat_tokens(engine, b'{"messages": []}')  # type: ignore[arg-type]


async def test_a_chat_is_made_a_prompt_and_cut() -> None:
    engine = Engine()

    assert await tokens(engine) == [1, 7, 9]
    assert [path for path, _ in engine.asked] == ["/apply-template", "/tokenize"]
    assert engine.asked[1][1] == {"content": "<s>hi", "add_special": True, "parse_special": True}
    assert await count_chat_tokens(engine, {"messages": []}) == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [1 << 31, 1 << 70, -2, 0.5])
async def test_what_can_be_no_token_is_not_taken_for_one(token: float) -> None:
    assert await tokens(Engine(answers={**ANSWERS, "/tokenize": {"tokens": [1, token]}})) is None


async def test_a_dead_connection_of_the_pool_is_no_dead_engine() -> None:
    assert await tokens(Engine(pooled_are_dead=True)) == [1, 7, 9]


@pytest.mark.parametrize(
    "engine",
    [Engine(all_are_dead=True), Engine(status=404), Engine(answers={"/apply-template": {"x": 1}})],
)
async def test_an_engine_that_cannot_tell_is_none(engine: Engine) -> None:
    assert await tokens(engine) is None
