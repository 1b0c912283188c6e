"""Several connections bring one file, a hash follows behind them, and the disk gets it as it goes."""

from __future__ import annotations

import anyio

from localllm.errors import LocalLLMError
from localllm.transfer.asking import Answer, Asking, TryAgain, unreachable
from localllm.transfer.board import Board, Piece
from localllm.transfer.manner import Manner
from localllm.transfer.part import Part
from localllm.transfer.patience import Patience

_ALONE_BYTES = 8 << 20
"""A file that is smaller is not worth more connections than one."""

_LOOK_AGAIN_S = 0.5
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
        self._connections = 1 if self._size < _ALONE_BYTES else manner.connections
        self._board = Board(self._size, part.here, self._connections)
        self._patience = Patience()
        self._scopes: dict[Piece, anyio.CancelScope] = {}
        self._working = 0
        self._knows = anyio.Event()
        """Set once a server has sent a part: then others may ask, too."""

        self._lives = 0
        """Grows when all begins anew, from the first byte."""

        self._hasher = asking.wanted.digest.hasher(self._size)
        self._hashed = 0
        self._done, self._grew, self._flush_due = anyio.Event(), anyio.Event(), anyio.Event()
        self._flushed_bytes = self._most = part.here.total
        self._failure: LocalLLMError | OSError | None = None

    async def run(self) -> str:
        """Fetch all that is lacking; return the hash of the whole.

        Raises:
            LocalLLMError: It cannot be; what has come is in the part.
            OSError: The disk is full, say.
        """
        if self._most:
            self._manner.tell(self._most)
        async with anyio.create_task_group() as everything:
            everything.start_soon(self._flush_now_and_then, everything.cancel_scope)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hash)
                for number in range(self._connections):
                    tasks.start_soon(self._work, number, everything.cancel_scope)
            everything.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        return self._hasher.hexdigest()

    async def _work(self, number: int, everything: anyio.CancelScope) -> None:
        """Be one connection, until there is nothing to do."""
        if number > 0:
            await self._knows.wait()
        self._working += 1
        try:
            while not self._board.is_done and await self._one_piece():
                pass
        except (LocalLLMError, OSError) as error:
            self._failure = self._failure or error
            everything.cancel()
        finally:
            self._working -= 1
            self._knows.set()  # those who wait for the first one see that all is done
            if self._board.is_done:
                self._done.set()

    async def _one_piece(self) -> bool:
        """Fetch a piece, or wait for one; False: this connection is one too many."""
        piece = self._board.claim(anyio.current_time())
        if piece is None:
            with anyio.move_on_after(_LOOK_AGAIN_S):
                await self._done.wait()
            return True
        self._interrupt_who_lost_it()
        try:
            with anyio.CancelScope() as scope:
                self._scopes[piece] = scope
                await self._bring(piece)
        except TryAgain as again:
            failed = again
        else:
            return True
        finally:
            del self._scopes[piece]
            self._board.give_back(piece, anyio.current_time())
        return await self._pause(failed)

    def _interrupt_who_lost_it(self) -> None:
        for piece, scope in self._scopes.items():
            if piece.lacking <= 0:
                scope.cancel()

    async def _bring(self, piece: Piece) -> None:
        """Ask for a piece, and write it down as it comes."""
        async with self._asking.ask(piece.at, piece.end) as answer:
            self._begin(piece, answer)
            async for data in answer.pieces():
                kept = data[: max(0, piece.lacking)]
                if kept:
                    self._part.write(piece.at, kept)
                    piece.at += len(kept)
                    self._say_what_is_here()
                if piece.lacking <= 0:
                    return
                await self._manner.pace.took(len(data))
        if piece.lacking > 0:
            raise TryAgain(f"the answer ended {piece.lacking} bytes before its end")

    def _say_what_is_here(self) -> None:
        total = self._part.here.total
        self._grew.set()
        if total <= self._most:
            return  # it has begun anew, and is not where it was yet
        self._most = total
        self._patience.came()
        if total - self._flushed_bytes >= _FLUSH_BYTES:
            self._flush_due.set()
        self._manner.tell(total)

    def _begin(self, piece: Piece, answer: Answer) -> None:
        if not answer.is_whole:
            self._knows.set()
            return
        if self._knows.is_set():
            raise TryAgain("the server sent the whole file where a part was asked for")
        if piece.at > 0:  # a server without ranges: from the first byte, then
            self._lives += 1
            self._part.clear()
            self._part.reserve()
            piece.at = piece.began_at = 0
        self._board.whole(piece)

    async def _pause(self, again: TryAgain) -> bool:
        if again.busy and self._working > 1:
            return False
        pause_s = self._patience.pause_s(again)
        if pause_s is None:
            raise unreachable(self._asking.wanted, str(again)) from again
        self._manner.note(f"{again}: again in {pause_s:.0f} s")
        await anyio.sleep(pause_s)
        self._manner.note(None)
        return True

    async def _hash(self) -> None:
        """Follow what is here without a gap; its bytes are still in the system's cache."""
        lives = self._lives
        while self._hashed < self._size:
            if self._lives != lives:
                lives = self._lives
                self._hasher, self._hashed = self._asking.wanted.digest.hasher(self._size), 0
            frontier = self._part.here.frontier
            more = frontier - self._hashed
            if more < _WORTH_BYTES and frontier < self._size:
                self._grew = anyio.Event()
                await self._grew.wait()
                continue
            end = min(frontier, self._hashed + _BATCH_BYTES)
            await anyio.to_thread.run_sync(self._hash_up_to, end)

    def _hash_up_to(self, end: int) -> None:
        at = self._hashed
        while at < end:
            data = self._part.read(at, min(_HASH_BYTES, end - at))
            if not data:
                break  # it was cleared meanwhile
            self._hasher.update(data)
            at += len(data)
        self._hashed = at

    async def _flush_now_and_then(self, everything: anyio.CancelScope) -> None:
        try:
            await self._keep_flushing()
        except OSError as error:
            self._failure = self._failure or error
            everything.cancel()

    async def _keep_flushing(self) -> None:
        while True:
            self._flush_due = anyio.Event()
            with anyio.move_on_after(_FLUSH_S):
                await self._flush_due.wait()
            if self._part.here.total != self._flushed_bytes:
                await self._flush()

    async def _flush(self) -> None:
        ranges, lives = tuple(self._part.here), self._lives
        self._flushed_bytes = self._part.here.total
        await anyio.to_thread.run_sync(self._part.flush)
        if self._lives == lives:
            self._part.note_flushed(ranges)
