"""Gives each request the slot of its engine where most of its prompt is held."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import anyio

from localllm.config.settings import Prefix
from localllm.engine_client.client import EngineClient
from localllm.gateway.members import with_members
from localllm.gateway.prompt_parts import prompt_parts
from localllm.metrics.live import Live
from localllm.planning.planner import Planned
from localllm.planning.prompt_keeping import AS_IT_COMES, Kept, how_prompts_are_kept
from localllm.prefix.identity import identity_of, key_of
from localllm.prefix.keeping import Keeping
from localllm.prefix.outline import outline_of
from localllm.prefix.prompt import Prompt
from localllm.prefix.running import Engine, Placed
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Asking, Lent

_MOST_SLOTS = 64
"""Of engines that take hundreds of requests at once, and choose by themselves."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a request is sent to, within its engine."""

    body: bytes
    placed: Placed | None = None

    def holds_all(self, live: Live) -> None:
        """Say that all of the prompt, and what came of the answer, is in the slot now."""
        if self.placed is not None and live.prompt_tokens is not None:
            self.placed.tokens = live.prompt_tokens + live.generated_tokens


@dataclass(frozen=True, slots=True)
class Placing:
    """Knows what each engine's slots are.

    Args:
        secret: This installation's own, for outlines.
        wanted: The user's settings, as they are now.
    """

    keeping: Keeping
    secret: bytes
    wanted: Callable[[], Prefix] = lambda: AS_IT_COMES
    _keys: WeakKeyDictionary[EngineClient, str | None] = field(
        default_factory=WeakKeyDictionary[EngineClient, "str | None"]
    )
    """By the client of one process: what comes under the same name later has another."""

    @asynccontextmanager
    async def spot(
        self, lent: Lent, path: str, body: bytes, asking: Asking
    ) -> AsyncGenerator[Spot]:
        """Take a slot for one request, if its engine has such and it is one that reads a prompt."""
        parts = prompt_parts(path, body)
        engine = await self.engine(lent.hosted, lent.client)
        if engine is None:
            yield Spot(body)
            return
        if not parts:
            async with self.keeping.unplaced(engine):
                yield Spot(body)
            return
        outline = outline_of(parts, self.secret)
        prompt = Prompt(outline, path, body, asking.conversation, asking.is_passing)
        async with self.keeping.placed(engine, prompt) as placed:
            if placed is None or not engine.pins:
                yield Spot(body, placed)
            else:
                yield Spot(with_members(body, {"id_slot": placed.slot}), placed)

    async def engine(self, hosted: Hosted, client: EngineClient) -> Engine | None:
        """Say what of an instance counts for its prompts; None where nothing of them is kept."""
        planned = hosted.planned
        keeping = how_prompts_are_kept(planned, self.wanted())
        if keeping.kept is Kept.NOT and not keeping.pins_slots:
            return None
        key = await self._key(hosted, client)
        if key is None:
            return None
        return Engine(
            instance=hosted.id,
            slots=min(hosted.serving.parallel, _MOST_SLOTS),
            pins=keeping.pins_slots,
            kept=keeping.kept,
            key=key,
            model=planned.stored.id,
            client=client,
            cells=hosted.serving.context if _shares_cells(hosted) else None,
        )

    async def _key(self, hosted: Hosted, client: EngineClient) -> str | None:
        if client not in self._keys:
            self._keys[client] = await anyio.to_thread.run_sync(_key_of, hosted)
        return self._keys[client]


def _turns_by_context(planned: Planned) -> bool:
    """Whether the context decides how positions are turned. Source: get_rope_factors in llama.cpp."""
    return any(one.name.startswith("rope_factors_") for one in planned.header.tensors)


def _shares_cells(hosted: Hosted) -> bool:
    """Whether all slots have one cache, where what is idle leaves for what comes."""
    return hosted.planned.choice.installed.engine in {"llama-server", "xllamacpp"}


def _key_of(hosted: Hosted) -> str | None:
    """What a slot's bytes depend on: the file and its build, how they are kept, what is laid over it.

    None where a file is not there any more: an engine that has it open serves on.
    """
    planned, serving = hosted.planned, hosted.serving
    installed = planned.choice.installed
    try:
        model = identity_of(serving.model_file)
        adapters = [(identity_of(one.file), one.scale) for one in serving.adapters]
    except OSError:
        return None
    return key_of(
        [
            model,
            serving.file_bytes,
            installed.engine,
            installed.version,
            serving.kv_type,
            serving.checkpoints,
            serving.context if _turns_by_context(planned) else None,
            serving.engine_args,  # the user's own: they may change how positions are counted
            *adapters,
        ]
    )
