"""Recordings under a clock that goes on only when told, of an engine that cuts what it is told to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from localllm.api.recording_views import RecordingRequest
from localllm.metrics.callers import caller_of
from localllm.metrics.live import Live
from localllm.metrics.recording import Recordings
from localllm.metrics.recording_state import Recording, RecordingBounds
from tests.unit.metrics.a_live import NOON, World

CHAT = "/v1/chat/completions"
BODY = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "the xylophone, with sk-abcdefghijklmnopqrst"}],
        "tools": [{"type": "function"}, {"type": "function"}],
    }
).encode()


@dataclass(slots=True)
class Scene:
    folder: Path
    bounds: RecordingBounds = field(default_factory=RecordingBounds)
    world: World = field(default_factory=World)
    tokens: dict[bytes, Sequence[int]] = field(default_factory=dict[bytes, Sequence[int]])
    recordings: Recordings = field(init=False)

    def __post_init__(self) -> None:
        async def cut(_live: Live, _path: str, body: bytes) -> Sequence[int] | None:
            return self.tokens.get(body)

        self.recordings = Recordings(
            self.folder,
            self.world.requests,
            cut,
            lambda: b"a key of this test",
            self.bounds,
            lambda: NOON,
        )
        self.world.requests.when_one_ends.append(self.recordings.finished)

    async def on(self, **wanted: Any) -> Recording:
        return await self.recordings.start(RecordingRequest(**wanted), "m", 4096)

    def begin(self, body: bytes = BODY, program: str = "claude-cli/2.1.330") -> Live:
        live = self.world.begin(caller=caller_of(program, "session-1", "laptop"))
        self.recordings.begins(live)
        self.recordings.saw(live, CHAT, body)
        return live

    def answer(self, live: Live, prompt: int | None = 50, cached: int = 0) -> None:
        self.world.clock.now += 1
        live.admitted("m:1", "m", "xllamacpp")
        self.world.clock.now += 1
        for _ in range(3):
            self.world.clock.now += 0.1
            live.piece()
        live.used(prompt=prompt, cached=cached, generated=3)
        live.ended(200)

    def send(self, body: bytes = BODY, **answer: Any) -> None:
        self.answer(self.begin(body), **answer)

    def lines(self) -> list[dict[str, Any]]:
        (file,) = self.folder.glob("*.jsonl")
        return [json.loads(line) for line in file.read_text().splitlines()]


@asynccontextmanager
async def running(scene: Scene) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.recordings.run)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()
