"""An endpoint whose tokens are words, and whose cache holds all that was ever read or said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web

from localllm.bench.shooting import Target

ANSWER = "lo"


@dataclass(slots=True)
class CachingEndpoint:
    """What came to it.

    Args:
        delay_s: Before each answer.
    """

    delay_s: float = 0.0
    refuse: str = ""
    """A prompt that has it in it is refused."""

    target: Target = field(init=False)
    prompts: list[list[str]] = field(default_factory=list[list[str]])
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cached: list[int] = field(default_factory=list[int])
    counts: int = 0
    at_once: int = 0
    most_at_once: int = 0
    _held: list[list[str]] = field(default_factory=list[list[str]])

    async def complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        tokens = body["prompt"].split()
        number = len(self.prompts)
        self.prompts.append(tokens)
        self.bodies.append(body)
        cached = max((_in_common(tokens, held) for held in self._held), default=0)
        self.cached.append(cached)
        if self.refuse and self.refuse in tokens:
            return web.json_response({"error": {"message": "no"}}, status=503)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.delay_s)
        finally:
            self.at_once -= 1
        said = [f"{ANSWER}{number}.{place}" for place in range(body["max_tokens"])]
        self._held.append(tokens + said)
        usage = {
            "prompt_tokens": len(tokens),
            "completion_tokens": len(said),
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        if not body.get("stream"):
            return web.json_response({"choices": [{"text": " ".join(said)}], "usage": usage})
        return await _streamed(request, said, usage)

    async def count(self, request: web.Request) -> web.Response:
        self.counts += 1
        chat = await request.json()
        words = " ".join(message["content"] for message in chat["messages"]).split()
        return web.json_response({"input_tokens": 7 + len(words)})


async def _streamed(
    request: web.Request, said: Sequence[str], usage: dict[str, Any]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    events: list[dict[str, Any]] = [{"choices": [{"text": f" {word}"}]} for word in said]
    for event in [*events, {"choices": [], "usage": usage}]:
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


@asynccontextmanager
async def a_caching_endpoint(**said: Any) -> AsyncIterator[CachingEndpoint]:
    """Stand it up on loopback."""
    endpoint = CachingEndpoint(**said)
    app = web.Application(client_max_size=1 << 26)
    app.add_routes(
        [
            web.post("/v1/completions", endpoint.complete),
            web.post("/v1/messages/count_tokens", endpoint.count),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        endpoint.target = Target(runner.addresses[0][1])
        yield endpoint
    finally:
        await runner.cleanup()


def _in_common(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = zip(one, other, strict=False)
    same = next((place for place, (a, b) in enumerate(pairs) if a != b), None)
    return min(len(one), len(other)) if same is None else same
