"""Several connections bring one file, a hash follows behind them, and the disk gets it as it goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import anyio

from localllm.errors import LocalLLMError
from localllm.transfer.asking import Answer, Asking
from localllm.transfer.board import Board, Piece
from localllm.transfer.disk import DiskFailed
from localllm.transfer.failures import TryAgain, given_up
from localllm.transfer.manner import Manner
from localllm.transfer.part import Part
from localllm.transfer.patience import Patience

_ALONE_BYTES = 8 << 20
"""A file that is smaller is not worth more connections than one."""

_LOOK_AGAIN_S = 0.5
_REST_S = 60.0
"""A connection that a server has no time for leaves it alone for so long, if others go on."""

_TELL_EVERY_S = 0.05
_HASH_BYTES = 1 << 20
_BATCH_BYTES = 32 << 20
_WORTH_BYTES = 4 << 20
"""To wake a thread for; less waits for more, unless it is the end."""

_FLUSH_BYTES = 256 << 20
_FLUSH_S = 10.0
"""After so many bytes, or so long, the disk is to have what has come."""


class Fetching:
    """One attempt at what is lacking of a part."""

    def __init__(self, asking: Asking, part: Part, manner: Manner) -> None:
        self._asking = asking
        self._part = part
        self._manner = manner
        self._size = part.size_bytes
        self._connections = 1 if self._size < _ALONE_BYTES else max(1, manner.connections)
        self._board = Board(self._size, part.here, self._connections)
        self._patience = Patience()
        self._scopes: dict[Piece, anyio.CancelScope] = {}
        self._working = 0
        """Connections that ask, or would if there were something; not those that rest."""

        self._pause_over: anyio.Event | None = None
        self._knows = anyio.Event()
        """Set once a server has sent a part: then others may ask, too."""

        self._hasher = asking.wanted.digest.hasher(self._size)
        self._hashed = 0
        self._done, self._grew, self._flush_due = anyio.Event(), anyio.Event(), anyio.Event()
        self._flushed_bytes = part.here.total
        self._told_at_s = 0.0
        self._failure: LocalLLMError | OSError | None = None

    async def run(self) -> str:
        """Fetch all that is lacking; return the hash of the whole.

        Raises:
            LocalLLMError: It cannot be; what has come is in the part.
            OSError: The disk is full, say.
        """
        if self._part.here.total:
            self._manner.tell(self._part.here.total)
        async with anyio.create_task_group() as everything:
            run = partial(self._run, everything.cancel_scope)
            everything.start_soon(run, self._flush_now_and_then)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, self._hash)
                for number in range(self._connections):
                    tasks.start_soon(run, partial(self._work, number))
            everything.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        return self._hasher.hexdigest()

    async def _run(
        self, everything: anyio.CancelScope, task: Callable[[], Awaitable[None]]
    ) -> None:
        """Have the first failure of any task end all of them, and be the one that is raised."""
        try:
            await task()
        except (LocalLLMError, OSError) as error:
            self._failure = self._failure or error
            everything.cancel()

    async def _work(self, number: int) -> None:
        """Be one connection, until all is here."""
        if number > 0:
            await self._knows.wait()
        self._working += 1
        while not self._board.is_done:
            await self._one_piece()
        self._working -= 1
        self._knows.set()
        self._done.set()

    async def _one_piece(self) -> None:
        """Fetch a piece, or wait for one."""
        worth = self._manner.pace.connections(self._connections)
        now = anyio.current_time()
        piece = self._board.claim(now) if len(self._scopes) < worth else None
        if piece is None:
            with anyio.move_on_after(_LOOK_AGAIN_S):
                await self._done.wait()
            return
        self._interrupt_who_lost_it()
        failed = None
        try:
            with anyio.CancelScope() as scope:
                self._scopes[piece] = scope
                await self._bring(piece)
        except TryAgain as again:
            failed = again
        finally:
            del self._scopes[piece]
            self._board.give_back(piece, anyio.current_time())
        if failed is not None:
            await self._pause(failed)

    def _interrupt_who_lost_it(self) -> None:
        for piece, scope in self._scopes.items():
            if piece.lacking <= 0:
                scope.cancel()

    async def _bring(self, piece: Piece) -> None:
        """Ask for a piece, and write it down as it comes."""
        async with self._asking.ask(piece.at, piece.end) as answer:
            self._meet(piece, answer)
            at = answer.start
            while piece.lacking > 0 and (data := await answer.more()):
                self._keep(piece, at, data)
                at += len(data)
                if not self._board.is_done:
                    await self._manner.pace.took(len(data))
        if piece.lacking > 0 and at < answer.end:
            raise TryAgain(f"the answer ended {answer.end - at} bytes before its end")

    def _meet(self, piece: Piece, answer: Answer) -> None:
        """See whether parts come; if not, let one connection alone have all that is lacking.

        It passes over what is here already: a server without ranges costs time, and nothing more.
        """
        if not answer.is_whole:
            self._knows.set()
        elif self._working > 1:
            raise TryAgain("the server sent the whole file where a part was asked for", busy=True)
        else:
            self._board.whole(piece)

    def _keep(self, piece: Piece, at: int, data: bytes) -> None:
        """Write down what is not here yet of the bytes that belong at `at`."""
        beyond = min(at + len(data), piece.end)
        before = self._part.here.total
        view = memoryview(data)
        for start, end in self._part.here.lacking(at, beyond):
            self._part.write(start, view[start - at : end - at])
        piece.at = max(piece.at, beyond)
        if self._part.here.total > before:
            self._say_what_is_here()

    def _say_what_is_here(self) -> None:
        self._patience.came()
        total, frontier = self._part.here.total, self._part.here.frontier
        if frontier - self._hashed >= _WORTH_BYTES or frontier >= self._size:
            self._grew.set()
        if total - self._flushed_bytes >= _FLUSH_BYTES:
            self._flush_due.set()
        now = anyio.current_time()
        if now - self._told_at_s >= _TELL_EVERY_S:
            self._told_at_s = now
            self._manner.tell(total)

    async def _pause(self, again: TryAgain) -> None:
        """Wait before asking again: once for all who fail meanwhile, for it is mostly the same line."""
        if again.busy and self._working > 1:
            await self._rest(again)
        elif self._pause_over is not None:
            await self._pause_over.wait()
        else:
            await self._wait(again)

    async def _rest(self, again: TryAgain) -> None:
        """Leave the server to the other connections for a while: this is one too many."""
        self._working -= 1
        with anyio.move_on_after(max(_REST_S, again.after_s or 0.0)):
            await self._done.wait()
        self._working += 1

    async def _wait(self, again: TryAgain) -> None:
        pause_s = self._patience.pause_s(again)
        if pause_s is None:
            raise given_up(self._asking.wanted, again) from again
        self._pause_over = anyio.Event()
        self._manner.note(f"{again}: again in {pause_s:.0f} s")
        await anyio.sleep(pause_s)
        self._manner.note(None)
        self._pause_over.set()
        self._pause_over = None

    async def _hash(self) -> None:
        """Follow what is here without a gap; its bytes are still in the system's cache."""
        while self._hashed < self._size:
            frontier = self._part.here.frontier
            if frontier - self._hashed < _WORTH_BYTES and frontier < self._size:
                self._grew = anyio.Event()
                await self._grew.wait()
                continue
            end = min(frontier, self._hashed + _BATCH_BYTES)
            await anyio.to_thread.run_sync(self._hash_up_to, end)

    def _hash_up_to(self, end: int) -> None:
        while self._hashed < end:
            data = self._part.read(self._hashed, min(_HASH_BYTES, end - self._hashed))
            if not data:
                raise self._meddled("it has become shorter")
            self._hasher.update(data)
            self._hashed += len(data)

    async def _flush_now_and_then(self) -> None:
        while True:
            self._flush_due = anyio.Event()
            with anyio.move_on_after(_FLUSH_S):
                await self._flush_due.wait()
            if not self._part.is_there:
                raise self._meddled("it is gone")
            if self._part.here.total != self._flushed_bytes:
                await self._flush()

    async def _flush(self) -> None:
        here = tuple(self._part.here)
        self._flushed_bytes = self._part.here.total
        await anyio.to_thread.run_sync(self._part.flush, here)
        self._part.note_flushed()

    def _meddled(self, why: str) -> DiskFailed:
        return DiskFailed(
            f"Another program meddles with {self._asking.wanted.name} while it is being fetched.",
            why=f"{self._part.file}: {why}",
            fix="try again, and let the other program end first",
        )
