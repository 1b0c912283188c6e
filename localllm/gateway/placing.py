"""Gives each request the slot of its engine where most of its prompt is held."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from localllm.engine_client.client import EngineClient
from localllm.gateway.members import with_members
from localllm.gateway.prompt_parts import prompt_parts
from localllm.metrics.live import Live
from localllm.planning.prompt_keeping import Kept, how_prompts_are_kept
from localllm.prefix.identity import identity_of, key_of
from localllm.prefix.keeping import Keeping
from localllm.prefix.outline import outline_of
from localllm.prefix.prompt import Prompt
from localllm.prefix.running import Engine, Placed
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Lent

_MOST_SLOTS = 64
"""Of engines that take hundreds of requests at once, and choose by themselves."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a request is sent to, within its engine."""

    body: bytes
    placed: Placed | None = None

    def came_to_its_end(self, live: Live) -> None:
        """Say that all of prompt and answer is in the slot now."""
        if self.placed is not None and live.prompt_tokens is not None:
            self.placed.tokens = live.prompt_tokens + live.generated_tokens


@dataclass(frozen=True, slots=True)
class Placing:
    """Knows what each engine's slots are.

    Args:
        secret: This installation's own, for outlines.
        enabled: By the user's settings.
    """

    keeping: Keeping
    secret: bytes
    enabled: bool = True
    _keys: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """By instance and run; one run of each."""

    @asynccontextmanager
    async def spot(
        self, lent: Lent, path: str, body: bytes, conversation: str | None = None
    ) -> AsyncGenerator[Spot]:
        """Take a slot for one request, if its engine has such and it is one that reads a prompt."""
        parts = prompt_parts(path, body)
        engine = await self.engine(lent.hosted, lent.client) if parts else None
        if engine is None:
            yield Spot(body)
            return
        prompt = Prompt(outline_of(parts, self.secret), path, body, conversation)
        async with self.keeping.placed(engine, prompt) as placed:
            if placed is None or not engine.pins:
                yield Spot(body, placed)
            else:
                yield Spot(with_members(body, {"id_slot": placed.slot}), placed)

    async def engine(self, hosted: Hosted, client: EngineClient) -> Engine | None:
        """Say what of an instance counts for its prompts; None where nothing of them is kept."""
        planned, run = hosted.planned, hosted.runner.record.run
        keeping = how_prompts_are_kept(planned, enabled=self.enabled)
        if keeping.kept is Kept.NOT:
            return None
        return Engine(
            instance=hosted.id,
            run=run,
            slots=min(hosted.serving.parallel, _MOST_SLOTS),
            pins=keeping.pins_slots,
            kept=keeping.kept,
            key=await self._key(hosted, run),
            model=planned.stored.id,
            client=client,
        )

    async def _key(self, hosted: Hosted, run: int) -> str:
        known = self._keys.get((hosted.id, run))
        if known is None:
            known = await anyio.to_thread.run_sync(_key_of, hosted)
            for older in [one for one in self._keys if one[0] == hosted.id]:
                del self._keys[older]
            self._keys[hosted.id, run] = known
        return known


def _key_of(hosted: Hosted) -> str:
    """What a slot's bytes depend on: the file and its build, how they are kept, what is laid over it."""
    planned, serving = hosted.planned, hosted.serving
    installed = planned.choice.installed
    adapters = [(identity_of(one.file), one.scale) for one in serving.adapters]
    return key_of(
        [
            identity_of(serving.model_file),
            serving.file_bytes,
            installed.engine,
            installed.version,
            serving.kv_type,
            *adapters,
        ]
    )
