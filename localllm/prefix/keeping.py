"""Keeps prompts warm: each request goes to the slot that has most of it; what a slot would lose is on disk first.

An engine's slots are its own memory, the disk is the second level: what lies there outlives a
switch, an unload and a crash, and is put back into a slot before the request that goes on with it.
Where an engine cannot save a slot, the request is kept, and read again before anybody asks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio

from localllm.engine_client.read_ahead import PATHS
from localllm.engine_client.slots import erase_slot
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.crowding import cells_needed, choose_leaving
from localllm.prefix.disk import on_disk
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding, choose_slot, find_shared, is_beginning_of
from localllm.prefix.looking import look_at_crowded
from localllm.prefix.outline import BYTES_PER_TOKEN, Outline
from localllm.prefix.prompt import Prompt
from localllm.prefix.running import Engine, Placed, Run
from localllm.prefix.saving import put_back, write
from localllm.prefix.settling import Settling
from localllm.prefix.shelf import Shelf

_log = logging.getLogger(__name__)

IDLE_S = 1.5
"""An engine that nobody uses for so long saves what it holds; an agent's next turn comes sooner."""

_MOST_TEXT_BYTES = 8 << 20
"""Of a request; more are images, mostly."""

_ANSWERS_WITHIN_S = 2.0
"""To look what is there takes milliseconds; a disk that sleeps is not waited for."""

_WAITED_FOR_S = 30.0
"""By a request, while something is saved or put back for it."""

_SAVED_WITHIN_S = 600.0
_LEFT_ALONE_S = 30.0
_LOOK_EVERY_S = 0.5
_WORTH_PUTTING_BACK_TOKENS = 128
"""What is fewer is read again as quickly."""


class Keeping:
    """Runs until cancelled, beside the engines.

    Args:
        shelf: None: nothing is written to disk.
        clock: Monotonic seconds.
    """

    def __init__(
        self, shelf: Shelf | None, clock: Callable[[], float] = anyio.current_time
    ) -> None:
        self.shelf = shelf
        self._settling = None if shelf is None else Settling(shelf)
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._stirred = anyio.Event()
        self._disk_hangs_until = -math.inf

    async def run(self) -> None:
        """Save what idle engines hold, and take in what was written."""
        if self.shelf is None or self._settling is None:
            return
        await on_disk(self.shelf.tidy)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._settling.run)
            await self._save_idle()

    async def _save_idle(self) -> None:
        while True:
            if not any(run.unsaved for run in self._runs.values()):
                self._stirred = anyio.Event()
                await self._stirred.wait()
            await anyio.sleep(_LOOK_EVERY_S)
            for run in tuple(self._runs.values()):
                try:
                    while run.unsaved and self.is_quiet(run):  # who comes waits for one at most
                        await self._save_one(run, _SAVED_WITHIN_S)
                except Exception:  # noqa: BLE001  # what serves is not to end for it
                    _log.exception("prompts are not kept: instance=%s", run.engine.instance)
                    run.give_up_saving()

    def is_quiet(self, run: Run, for_s: float = IDLE_S) -> bool:
        """Tell whether nobody has used an engine for a while."""
        return run.is_idle and self._clock() - run.idle_since >= for_s

    def all_quiet(self, for_s: float = IDLE_S) -> bool:
        """Tell whether nobody has used any engine for a while."""
        return all(self.is_quiet(run, for_s) for run in self._runs.values())

    def run_of(self, engine: Engine) -> Run:
        """Find what a process holds; another run of it holds nothing.

        By its client: one that was stopped for good and comes again counts its runs anew.
        """
        known = self._runs.get(engine.instance)
        if known is None or known.engine.client is not engine.client:
            holdings = [Holding(slot) for slot in range(engine.slots)]
            known = self._runs[engine.instance] = Run(engine, holdings, self._clock())
        known.engine = engine  # how its prompts are kept may be another by now
        return known

    def is_current(self, run: Run) -> bool:
        """Tell whether it has neither ended nor is about to."""
        return self._runs.get(run.engine.instance) is run

    @asynccontextmanager
    async def placed(self, engine: Engine, prompt: Prompt) -> AsyncGenerator[Placed | None]:
        """Take a slot for one request; None where the engine is to choose.

        What the slot held is saved before, and what is on disk of the prompt is put there.
        """
        with self.used(engine) as run:
            async with run.placing:
                place = await self._place(run, prompt)
            if place is None:
                yield None
                return
            placed = Placed(place, prompt)
            try:
                yield placed
            finally:
                self._let_go(run, placed)

    def spare_slot(self, instance: str) -> int | None:
        """Give up the slot whose loss costs least, for a tiny request; None: the engine chooses."""
        run = self._runs.get(instance)
        place = None if run is None else choose_slot(run.holdings, Outline(b"", 0))
        if run is None or place is None or not run.engine.pins:
            return None
        run.empty([place.slot])
        return place.slot

    @contextmanager
    def used(self, engine: Engine) -> Generator[Run]:
        """Have an engine do nothing else meanwhile: a request is on its way to it."""
        run = self.run_of(engine)
        run.users += 1
        for one in self._runs.values():  # they share the machine
            one.stop_reading_ahead()
        try:
            yield run
        finally:
            run.users -= 1
            run.idle_since = self._clock()

    async def farewell(self, instance: str) -> None:
        """Save what an engine holds that is about to be ended."""
        run = self._runs.pop(instance, None)
        if run is not None:
            run.stop_reading_ahead()
            while run.unsaved:
                await self._save_one(run, math.inf)  # who ends it has a deadline
            if self._settling is not None:
                await self._settling.until_all_are_there(instance)

    def forget(self, instance: str) -> None:
        """Keep nothing of an engine that has ended, by itself or without a farewell."""
        self._runs.pop(instance, None)

    @asynccontextmanager
    async def unplaced(self, engine: Engine) -> AsyncGenerator[None]:
        """Let a request through that takes several slots, or any: what they hold then nobody knows."""
        with self.used(engine) as run:
            if not engine.pins:
                yield
                return
            while run.unsaved:
                await self._save_one(run, _WAITED_FOR_S)
            try:
                yield
            finally:
                run.empty(one.slot for one in run.holdings if not one.is_busy)

    async def _place(self, run: Run, prompt: Prompt) -> int | None:
        outline = prompt.outline
        await look_at_crowded(run, outline)
        shared = find_shared(run.holdings, outline) if run.engine.kept is Kept.SAVED else None
        if shared is not None:
            await self._save(run, shared, _WAITED_FOR_S)
        entry = await self._find_on_disk(run, outline)
        on_disk_bytes = 0 if entry is None else entry.outline.common_bytes(outline)
        place = choose_slot(
            run.holdings, outline, on_disk_bytes=on_disk_bytes, conversation=prompt.conversation
        )
        if place is None:
            return None
        run.put(place.slot, is_busy=True)
        try:
            if place.pushes_out is not None:
                await self._save(run, place.pushes_out, _WAITED_FOR_S)
            gain = on_disk_bytes // BYTES_PER_TOKEN - place.common_tokens
            if gain < _WORTH_PUTTING_BACK_TOKENS:
                entry = None
            await self._make_room(run, place.slot, cells_needed(outline, entry))
            if entry is not None:
                await self._put_back(run, place.slot, entry)
        except BaseException:  # the client has gone
            run.put(place.slot, is_busy=False)
            raise
        return place.slot

    async def _make_room(self, run: Run, slot: int, needed: int) -> None:
        """Have idle slots leave a cache that would be too full, before the engine has them do so.

        Only where they go to disk: which of those that would be lost has to go is the engine's to
        judge, which knows how full it is.
        """
        if run.engine.cells is None or run.engine.kept is not Kept.SAVED:
            return
        for leaving in choose_leaving(run.holdings, slot, needed, run.engine.cells):
            await self._save(run, leaving, _WAITED_FOR_S)
            if await erase_slot(run.engine.client, leaving.slot):
                run.empty([leaving.slot])

    async def _find_on_disk(self, run: Run, outline: Outline) -> Entry | None:
        shelf, settling, key = self.shelf, self._settling, run.engine.key
        if shelf is None or settling is None or run.engine.kept is not Kept.SAVED:
            return None
        with self._patience(_WAITED_FOR_S) as there:
            if there:
                await settling.until_there(key, outline)
        found: Entry | None = None
        with self._patience(_ANSWERS_WITHIN_S) as there:
            if there:
                found = await on_disk(lambda: shelf.best(key, outline, run.refused))
        return found

    async def _put_back(self, run: Run, slot: int, entry: Entry) -> None:
        shelf = self.shelf
        assert shelf is not None, "it was found there"
        with self._patience(_WAITED_FOR_S) as there:
            if there and await put_back(shelf, run, slot, entry):
                await on_disk(lambda: shelf.touch(entry))

    def _let_go(self, run: Run, placed: Placed) -> None:
        prompt, known = placed.prompt, placed.tokens is not None
        run.put(placed.slot, used_at=self._clock(), is_busy=False)
        if known or not is_beginning_of(run.holdings[placed.slot], prompt.outline):
            run.put(
                placed.slot,
                outline=prompt.outline,
                tokens=placed.tokens or 0,
                is_saved=not known or prompt.is_passing,  # of what broke off nobody knows how much
                conversation=prompt.conversation,
                prompt=prompt if known and _is_kept(run, prompt) else None,
            )
        self._stirred.set()

    async def _save_one(self, run: Run, within_s: float) -> None:
        """Save the most that is not saved, if it still is not once it is our turn."""
        async with run.placing:
            holding = max(run.unsaved, key=lambda one: one.tokens, default=None)
            if holding is not None:
                await self._save(run, holding, within_s)

    async def _save(self, run: Run, holding: Holding, within_s: float) -> None:
        shelf, settling = self.shelf, self._settling
        with self._patience(within_s) as there:
            is_kept = there and run.engine.kept is not Kept.NOT and not holding.is_saved
            if is_kept and shelf is not None and settling is not None:
                written = await write(shelf, run, holding)
                if written is not None:
                    await settling.take_in(written)
        run.put(holding.slot, is_saved=True)  # tried once: a disk that is full stays so for now

    @contextmanager
    def _patience(self, within_s: float) -> Generator[bool]:
        """Wait for the disk no longer than that; one that hangs is left alone for a while.

        Yields:
            Whether to wait for it at all.
        """
        with anyio.move_on_after(within_s) as scope:
            yield self._clock() >= self._disk_hangs_until
        if scope.cancelled_caught:
            _log.warning("the disk of saved prompts does not answer within %.0f s", within_s)
            self._disk_hangs_until = self._clock() + _LEFT_ALONE_S


def _is_kept(run: Run, prompt: Prompt) -> bool:
    """Whether it is the request itself that goes to disk."""
    is_small = len(prompt.body) <= _MOST_TEXT_BYTES
    return run.engine.kept is Kept.REPLAYED and prompt.path in PATHS and is_small
