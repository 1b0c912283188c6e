"""Keeps what requests came to, for good: a queue here, a file behind it, never in anybody's way.

A full disk, a damaged file or one of a newer version is said once, and the gateway goes on.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from pathlib import Path

import anyio
from anyio import CapacityLimiter, to_thread

from localllm.metrics.energy_row import EnergyRow
from localllm.metrics.ledger_row import Row, row_of
from localllm.metrics.ledger_schema import NewerLedger, is_damage
from localllm.metrics.ledger_store import Keep, Store
from localllm.metrics.live import Live
from localllm.metrics.savings import Spared
from localllm.metrics.tallies import Names

_log = logging.getLogger("localllm.metrics")

_MOST_WAITING = 5_000
_BATCH = 500
_PRUNE_EVERY_S = 3600.0
_LAST_WORDS_S = 3.0
"""For what is still in the queue when the daemon ends."""

_LOOK_EVERY_S = 0.05
_MOST_CLIENTS = 100


class _Outcome(Enum):
    WRITTEN = auto()
    LATER = auto()
    NEVER = auto()


class Ledger:
    """Writes in batches while `run` runs; `offer` only remembers, and never fails.

    Args:
        wall_clock: Unix seconds, by which old requests are forgotten.
        gather_s: How long to wait for more, so that one transaction does for many.
        again_s: When to try again after a failure.
    """

    def __init__(
        self,
        file: Path,
        keep: Keep | None = None,
        wall_clock: Callable[[], float] = time.time,
        *,
        gather_s: float = 1.0,
        again_s: float = 30.0,
    ) -> None:
        self.dropped = 0
        """Requests that were not written, since too many had to wait, or the file is not ours."""

        self.when_it_ends: list[Callable[[], None]] = []
        """Called before the last of it is written, so that more can be offered."""

        self._store = Store(file, keep or Keep())
        self._file = file
        self._wall_clock = wall_clock
        self._gather_s, self._again_s = gather_s, again_s
        self._queue: deque[Row | EnergyRow] = deque()
        self._clients = Names(_MOST_CLIENTS)
        self._arrived = anyio.Event()
        self._closed = False
        self._complained = False
        self._prune_at = 0.0
        self._in_hand = False
        """A thread is at work on it."""

        self._one_at_a_time = CapacityLimiter(1)

    def offer(self, live: Live, spared: Spared | None = None) -> None:
        """Remember a request that is over, and what of it was in the cache."""
        if self._closed:
            self.dropped += 1
            return
        self._queue.append(row_of(live, self.client_of(live), spared))
        self._drop_what_is_too_much()
        self._arrived.set()

    def offer_energy(self, rows: Sequence[EnergyRow]) -> None:
        """Remember what energy came to."""
        if not self._closed:
            self._queue.extend(rows)
            self._drop_what_is_too_much()
            self._arrived.set()

    def client_of(self, live: Live) -> str:
        """Who asks, as the file has it: one of a bounded number of names."""
        return self._clients.within(live.caller.program_name)

    async def run(self) -> None:
        """Write what is offered, until cancelled; what is left then is still written."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived = anyio.Event()
                await anyio.sleep(self._gather_s)
                while await self._write() is _Outcome.LATER:
                    await anyio.sleep(self._again_s)
        finally:
            with anyio.move_on_after(_LAST_WORDS_S, shield=True):
                await self._end()

    async def _end(self) -> None:
        while self._in_hand:  # a batch that was being written when we were cancelled
            await anyio.sleep(_LOOK_EVERY_S)
        for tell in self.when_it_ends:
            tell()
        await self._write()
        await self._in_thread(self._store.close)

    async def _write(self) -> _Outcome:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            outcome = await self._try(batch)
            if outcome is not _Outcome.WRITTEN:
                return outcome
        return _Outcome.WRITTEN

    async def _try(self, batch: list[Row | EnergyRow]) -> _Outcome:
        """Write a batch, and put it back where that fails."""
        try:
            await self._in_thread(lambda: self._write_or_begin_anew(batch))
            await self._in_thread(self._prune_now_and_then)
        except NewerLedger as error:
            self._give_up(batch, error)
            return _Outcome.NEVER
        except (sqlite3.Error, OSError) as error:
            self._put_back(batch)
            self._complain(error)
            return _Outcome.LATER
        except anyio.get_cancelled_exc_class():
            self._put_back(batch)
            raise
        self._recovered()
        return _Outcome.WRITTEN

    def _write_or_begin_anew(self, batch: list[Row | EnergyRow]) -> None:
        try:
            self._store.write(batch)
        except sqlite3.Error as error:
            self._store.close()
            if not is_damage(error):
                raise
            aside = self._store.set_aside()
            _log.warning("the ledger was damaged, a new one is begun: old=%s why=%s", aside, error)
            self._store.write(batch)
        batch.clear()  # done: whatever happens now, it is not to be written again

    def _prune_now_and_then(self) -> None:
        now = time.monotonic()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_EVERY_S
            self._store.prune(self._wall_clock())

    def _put_back(self, batch: list[Row | EnergyRow]) -> None:
        """Have what was not written written later; what a thread still writes is its own."""
        if not self._in_hand:
            self._queue.extendleft(reversed(batch))
            self._drop_what_is_too_much()

    def _give_up(self, batch: list[Row | EnergyRow], error: NewerLedger) -> None:
        self._closed = True
        self.dropped += _requests(batch) + _requests(self._queue)
        self._queue.clear()
        _log.warning("the ledger is not written: %s (%s)", error.what, error.why)

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            _log.warning(
                "the ledger cannot be written, requests are served all the same: file=%s why=%s",
                self._file,
                error,
            )

    def _recovered(self) -> None:
        if self._complained:
            self._complained = False
            _log.info("the ledger is written again: file=%s lost=%d", self._file, self.dropped)

    def _drop_what_is_too_much(self) -> None:
        while len(self._queue) > _MOST_WAITING:
            self.dropped += _requests([self._queue.popleft()])

    async def _in_thread(self, work: Callable[[], None]) -> None:
        """Do it in a thread; one that hangs on a dead disk does not keep the daemon from ending."""

        def in_hand() -> None:
            self._in_hand = True
            try:
                work()
            finally:
                self._in_hand = False

        await to_thread.run_sync(in_hand, limiter=self._one_at_a_time, abandon_on_cancel=True)


def _requests(rows: Iterable[Row | EnergyRow]) -> int:
    return sum(isinstance(row, Row) for row in rows)
