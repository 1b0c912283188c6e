"""Has prompts in an engine again before anybody asks for them.

What is on disk is put back; where an engine cannot do that, the request is read again. A request
that comes stops it at once, and what was read until then is not lost: it goes on when nobody has
asked for a while.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from localllm.engine_client.read_ahead import read_ahead
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.crowding import is_crowded
from localllm.prefix.disk import on_disk
from localllm.prefix.entries import Entry, choose_to_warm
from localllm.prefix.holding import common
from localllm.prefix.keeping import IDLE_S, Keeping
from localllm.prefix.running import Engine, Run
from localllm.prefix.saving import put_back
from localllm.prefix.shelf import Shelf

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.25
"""After a start: who has waited for it comes first."""

_LOOK_EVERY_S = 0.1
_ALL = 0.9
"""Of a prompt; the rest is its last block, or what the newest turn has changed."""

_TRIES = 5
"""Somebody who asks again and again does not need what is read ahead for others."""


@dataclass(frozen=True, slots=True)
class Warming:
    """Puts prompts into engines that have just started.

    Args:
        reads_ahead: Whether the machine may compute now though nobody asks.
        now: Unix seconds.
    """

    keeping: Keeping
    reads_ahead: Callable[[], bool] = lambda: True
    now: Callable[[], float] = time.time

    async def warm(self, engine: Engine) -> None:
        """Give an engine what will most likely be asked for; returns when there is no more to do."""
        shelf = self.keeping.shelf
        if shelf is None:
            return
        run = self.keeping.run_of(engine)
        async with run.warming:
            entries = await on_disk(shelf.entries)
            for entry in choose_to_warm(entries, engine.key, self.now()):
                if entry.is_text and self.reads_ahead():
                    await self._read(shelf, run, entry)
                elif not entry.is_text and engine.kept is Kept.SAVED:
                    await self._put_back(shelf, run, entry)

    async def _put_back(self, shelf: Shelf, run: Run, entry: Entry) -> None:
        if not await self._comes_to_rest(run, _FIRST_PAUSE_S):
            return
        async with run.placing:
            slot, is_free = _place_for(run, entry), run.is_idle and self.keeping.is_current(run)
            if slot is None or not is_free:  # somebody has come, or it is about to end
                return
            if await put_back(shelf, run, slot, entry):
                _log.info("put back: instance=%s tokens=%d", run.engine.instance, entry.tokens)

    async def _read(self, shelf: Shelf, run: Run, entry: Entry) -> None:
        body = await on_disk(lambda: shelf.read_text(entry))
        for attempt in range(_TRIES):
            pause_s = _FIRST_PAUSE_S if attempt == 0 else IDLE_S
            if body is None or not await self._comes_to_rest(run, pause_s, everywhere=True):
                return
            slot = _place_for(run, entry)
            if slot is None or await self._read_in(run, slot, entry, body):
                return

    async def _read_in(self, run: Run, slot: int, entry: Entry, body: bytes) -> bool:
        """Read a prompt into a slot; False if somebody came in between."""
        assert entry.path is not None, "it is a request"
        with anyio.CancelScope() as scope:
            run.reading_ahead = scope
            used_at = run.idle_since  # so that a small request goes elsewhere
            run.put(
                slot,
                outline=entry.outline,
                tokens=0,
                conversation=None,
                used_at=used_at,
                is_saved=True,
            )
            pinned = slot if run.engine.pins else None
            tokens = await read_ahead(run.engine.client, entry.path, body, pinned)
            run.put(slot, tokens=tokens or 0)
            _log.info("read ahead: instance=%s tokens=%s", run.engine.instance, tokens)
        run.reading_ahead = None
        return not scope.cancelled_caught

    async def _comes_to_rest(self, run: Run, for_s: float, *, everywhere: bool = False) -> bool:
        """Wait until nobody uses an engine, or any; False if it ends before."""
        keeping = self.keeping
        while not (keeping.all_quiet(for_s) if everywhere else keeping.is_quiet(run, for_s)):
            await anyio.sleep(_LOOK_EVERY_S)
            if not self.keeping.is_current(run):
                return False
        return self.keeping.is_current(run)


def _place_for(run: Run, entry: Entry) -> int | None:
    """Find a slot that holds nothing of worth, best one that has a part of it, or else nothing at all.

    Returns:
        None where one has all of it, where all are of worth, or where the cache has no room for it.
    """
    wanted, cells = entry.outline, run.engine.cells
    if cells is not None and is_crowded(run.holdings, entry.tokens, cells):
        return None
    there = [one for one in run.holdings if one.tokens]
    if any(common(one, wanted) >= _ALL * wanted.size_bytes for one in there):
        return None
    free = [one for one in run.holdings if not one.is_worth_keeping and not one.is_busy]
    best = max(free, key=lambda one: (common(one, wanted), one.outline is None), default=None)
    return None if best is None else best.slot
