"""Gives each request the slot of its engine where most of its prompt is held."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from localllm.gateway.members import with_members
from localllm.gateway.prompt_parts import prompt_parts
from localllm.metrics.live import Live
from localllm.prefix.identity import identity_of, key_of
from localllm.prefix.keeping import Engine, Keeping, Placed
from localllm.prefix.outline import outline_of
from localllm.supervisor.lending import Lent


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
    """Knows which engines have slots, and what each is.

    Args:
        secret: This installation's own, for outlines.
    """

    keeping: Keeping
    secret: bytes
    _keys: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    """By instance and run; one run of each."""

    @asynccontextmanager
    async def spot(self, lent: Lent, path: str, body: bytes) -> AsyncGenerator[Spot]:
        """Take a slot for one request, if its engine has such and it is one that reads a prompt."""
        parts = prompt_parts(path, body)
        if lent.hosted.serving.prefix_folder is None or not parts:
            yield Spot(body)
            return
        outline = outline_of(parts, self.secret)
        async with self.keeping.placed(await self._engine(lent), outline) as placed:
            if placed is None:
                yield Spot(body)
            else:
                yield Spot(with_members(body, {"id_slot": placed.slot}), placed)

    async def _engine(self, lent: Lent) -> Engine:
        hosted = lent.hosted
        planned, serving, run = hosted.planned, hosted.serving, hosted.runner.record.run
        known = self._keys.get((hosted.id, run))
        if known is None:
            known = await anyio.to_thread.run_sync(_key_of, lent)
            for older in [one for one in self._keys if one[0] == hosted.id]:
                del self._keys[older]
            self._keys[hosted.id, run] = known
        return Engine(
            instance=hosted.id,
            run=run,
            slots=serving.parallel,
            key=known,
            model=planned.stored.id,
            client=lent.client,
        )


def _key_of(lent: Lent) -> str:
    """What a slot's bytes depend on: the file and its build, how they are kept, what is laid over it."""
    planned, serving = lent.hosted.planned, lent.hosted.serving
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
