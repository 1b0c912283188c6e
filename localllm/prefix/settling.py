"""Takes in what engines have written, one after the other, while those who had it written go on.

Hashing takes twice as long as the engine's own writing, and nobody needs it to be done at once but who
comes back for the very prompt.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field

import anyio

from localllm.prefix.disk import on_disk
from localllm.prefix.holding import WORTH_TOKENS
from localllm.prefix.outline import BYTES_PER_TOKEN, Outline
from localllm.prefix.shelf import Made, Shelf

_log = logging.getLogger(__name__)

_MOST = 4
"""Whoever writes faster than a disk is read waits: files that are not taken in count to no budget."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """A file of an engine's."""

    instance: str
    name: str
    made: Made
    size_bytes: int | None
    """None: it is not what was to be saved."""

    done: anyio.Event = field(default_factory=anyio.Event)


class Settling:
    """Mutable, and used on the event loop alone; works while `run` does, else at once."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._waiting: deque[Written] = deque()
        self._stirred = anyio.Event()
        self._runs = False

    async def run(self) -> None:
        """Take in what waits, until cancelled."""
        self._runs = True
        try:
            while True:
                while self._waiting:
                    await self._settle(self._waiting[0])
                    self._waiting.popleft().done.set()
                self._stirred = anyio.Event()
                await self._stirred.wait()
        finally:
            self._runs = False

    async def take_in(self, written: Written) -> None:
        """Have a file taken in; returns at once, unless too many wait."""
        if not self._runs:
            await self._settle(written)
            return
        self._waiting.append(written)
        self._stirred.set()
        if len(self._waiting) > _MOST:
            await written.done.wait()

    async def until_there(self, key: str, wanted: Outline) -> None:
        """Wait for what may have the start of a prompt."""
        worth_bytes = WORTH_TOKENS * BYTES_PER_TOKEN
        for one in tuple(self._waiting):
            if one.made.key == key and one.made.outline.common_bytes(wanted) >= worth_bytes:
                await one.done.wait()

    async def until_all_are_there(self, instance: str) -> None:
        """Wait for all that one engine has written."""
        for one in tuple(self._waiting):
            if one.instance == instance:
                await one.done.wait()

    async def _settle(self, written: Written) -> None:
        shelf, size_bytes = self._shelf, written.size_bytes
        try:
            entry = await on_disk(
                lambda: shelf.take_in(written.name, written.made, written_bytes=size_bytes)
            )
        except Exception:  # noqa: BLE001  # what serves is not to end for it
            _log.exception("a prompt is not kept: instance=%s", written.instance)
            return
        if entry is None:
            _log.info("not kept: instance=%s tokens=%d", written.instance, written.made.tokens)
