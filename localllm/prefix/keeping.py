"""Keeps prompts warm: each request goes to the slot that has most of it; what a slot would lose is on disk first.

An engine's slots are its own memory, the disk is the second level: what lies there outlives a
switch, an unload and a crash, and is put back into a slot before the request that goes on with it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import restore_slot, save_slot
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding, choose_slot
from localllm.prefix.outline import BYTES_PER_TOKEN, Outline
from localllm.prefix.shelf import Shelf

_log = logging.getLogger(__name__)

_IDLE_S = 1.5
"""An engine that nobody uses for so long saves what it holds; an agent's next turn comes sooner."""

_LOOK_EVERY_S = 0.5
_WORTH_PUTTING_BACK_TOKENS = 128
"""What is fewer is read again as quickly."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One run of an instance, as far as prompts count."""

    instance: str
    run: int
    slots: int
    key: str
    """Of all that a saved slot depends on."""

    model: str
    client: EngineClient


@dataclass(slots=True)
class Placed:
    """Where a request went; who asked says what came of it."""

    slot: int
    outline: Outline
    tokens: int | None = None
    """Prompt and answer, as the engine counted; None: it did not come to its end."""


@dataclass(slots=True)
class _Run:
    """What one process of an engine holds."""

    engine: Engine
    holdings: list[Holding]
    idle_since: float
    bytes_per_token: float = 0.0
    """Of what was saved last; 0: nothing was."""

    placing: anyio.Lock = field(default_factory=anyio.Lock)
    """One at a time: a slot that is chosen is taken."""

    @property
    def is_idle(self) -> bool:
        return not any(one.is_busy for one in self.holdings)

    @property
    def unsaved(self) -> Sequence[Holding]:
        return [
            one
            for one in self.holdings
            if one.is_worth_keeping and not one.is_saved and not one.is_busy
        ]

    def put(self, slot: int, **changes: object) -> None:
        self.holdings[slot] = replace(self.holdings[slot], **changes)  # type: ignore[arg-type]


class Keeping:
    """Runs until cancelled, beside the engines.

    Args:
        shelf: None: nothing is written to disk.
        clock: Monotonic seconds.
    """

    def __init__(
        self, shelf: Shelf | None, clock: Callable[[], float] = anyio.current_time
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._stirred = anyio.Event()

    async def run(self) -> None:
        """Save what idle engines hold."""
        if self._shelf is None:
            return
        await anyio.to_thread.run_sync(self._shelf.tidy)
        while True:
            if not any(run.unsaved for run in self._runs.values()):
                self._stirred = anyio.Event()
                await self._stirred.wait()
            await anyio.sleep(_LOOK_EVERY_S)
            for run in tuple(self._runs.values()):
                if run.is_idle and self._clock() - run.idle_since >= _IDLE_S:
                    await self._save_all(run)

    @asynccontextmanager
    async def placed(self, engine: Engine, outline: Outline) -> AsyncGenerator[Placed | None]:
        """Take a slot for one request; None where the engine is to choose.

        What the slot held is saved before, and what is on disk of the prompt is put there.
        """
        run = self._run_of(engine)
        async with run.placing:
            place = await self._place(run, outline)
        if place is None:
            yield None
            return
        placed = Placed(place, outline)
        try:
            yield placed
        finally:
            self._let_go(run, placed)

    async def farewell(self, instance: str) -> None:
        """Save what an engine holds that is about to be ended."""
        run = self._runs.pop(instance, None)
        if run is not None:
            await self._save_all(run)

    def _run_of(self, engine: Engine) -> _Run:
        """Find what a process holds; another run of it holds nothing."""
        known = self._runs.get(engine.instance)
        if known is None or known.engine.run != engine.run:
            holdings = [Holding(slot) for slot in range(engine.slots)]
            known = self._runs[engine.instance] = _Run(engine, holdings, self._clock())
        return known

    async def _place(self, run: _Run, outline: Outline) -> int | None:
        entry = await self._find_on_disk(run, outline)
        on_disk_bytes = 0 if entry is None else entry.outline.common_bytes(outline)
        place = choose_slot(run.holdings, outline, on_disk_bytes=on_disk_bytes)
        if place is None:
            return None
        run.put(place.slot, is_busy=True)
        try:
            if place.pushes_out is not None:
                await self._save(run, place.pushes_out)
            gain = on_disk_bytes // BYTES_PER_TOKEN - place.common_tokens
            if entry is not None and gain >= _WORTH_PUTTING_BACK_TOKENS:
                await self._put_back(run, place.slot, entry)
        except BaseException:  # the client has gone
            run.put(place.slot, is_busy=False)
            raise
        return place.slot

    async def _find_on_disk(self, run: _Run, outline: Outline) -> Entry | None:
        if self._shelf is None:
            return None
        return await anyio.to_thread.run_sync(self._shelf.best, run.engine.key, outline)

    async def _put_back(self, run: _Run, slot: int, entry: Entry) -> None:
        """Put what is on disk into a slot, whose own was saved; an engine dies of half a file."""
        assert self._shelf is not None, "it was found there"
        if not await anyio.to_thread.run_sync(self._shelf.check, entry):
            return
        tokens = await restore_slot(run.engine.client, slot, entry.file)
        if tokens is None:  # then the slot is empty
            run.put(slot, outline=None, tokens=0, is_saved=True)
            await anyio.to_thread.run_sync(self._shelf.remove, entry.id)
            return
        run.put(slot, outline=entry.outline, tokens=tokens, is_saved=True)
        await anyio.to_thread.run_sync(self._shelf.touch, entry)

    def _let_go(self, run: _Run, placed: Placed) -> None:
        now, known = self._clock(), placed.tokens is not None
        run.put(
            placed.slot,
            outline=placed.outline,
            tokens=placed.tokens or 0,
            used_at=now,
            is_busy=False,
            is_saved=not known,  # of what broke off nobody knows how much is there
        )
        run.idle_since = now
        self._stirred.set()

    async def _save_all(self, run: _Run) -> None:
        async with run.placing:
            for holding in sorted(run.unsaved, key=lambda one: -one.tokens):
                await self._save(run, holding)

    async def _save(self, run: _Run, holding: Holding) -> None:
        """Have the engine write a slot, and take the file in."""
        run.put(holding.slot, is_saved=True)  # tried once: a disk that is full stays so for now
        if self._shelf is None or holding.is_saved:
            return
        assert holding.outline is not None, "it is worth keeping"
        shelf, engine = self._shelf, run.engine
        estimate = int(run.bytes_per_token * holding.tokens)
        if not await anyio.to_thread.run_sync(shelf.has_room, estimate):
            return
        name = await anyio.to_thread.run_sync(shelf.new_file)
        outline, tokens = holding.outline, holding.tokens
        written = await save_slot(engine.client, holding.slot, name)
        entry = await anyio.to_thread.run_sync(
            lambda: shelf.take_in(
                name,
                key=engine.key,
                model=engine.model,
                outline=outline,
                tokens=tokens,
                written_bytes=written,
            ),
            abandon_on_cancel=True,  # a disk that hangs holds nobody up
        )
        if entry is None:
            _log.info("not kept: instance=%s tokens=%d", engine.instance, tokens)
        else:
            run.bytes_per_token = entry.size_bytes / entry.tokens
