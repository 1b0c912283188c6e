"""Who fetches which piece of a file: first things first, and nobody waits for a slow one. Pure.

Pieces are handed out from the beginning on, and not far beyond what is here without a gap, so that
the hash, which needs the bytes in order, stays near those that are being written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.transfer.ranges import Ranges

PIECE_BYTES = 16 << 20
LEAST_BYTES = 256 << 10
"""A piece that is shorter is not worth a request of its own."""

AHEAD_BYTES = 1 << 30
_WORTH_S = 3.0
"""A piece that would take longer is shared with whoever has nothing to do."""

_SLOW = 4.0
"""One that is so many times slower than the others are is taken over whole."""

_SHORTEST_S = 1.0
"""A speed over a shorter time says nothing: the first bytes come from buffers."""


@dataclass(slots=True, eq=False)
class Piece:
    """What one connection is to fetch, and how far it is."""

    at: int
    """The next byte; moves."""

    end: int
    """May move towards `at`, when somebody else takes the rest."""

    began_at: int
    began_s: float
    taken: int = 0
    """How often its bytes were taken from somebody slow: each time they get longer for it."""

    is_alone: bool = False
    """It is the whole rest of the file, and cannot be shared."""

    @property
    def lacking(self) -> int:
        return self.end - self.at

    def speed(self, now: float) -> float:
        """Bytes per second since it was begun."""
        return (self.at - self.began_at) / max(now - self.began_s, _SHORTEST_S)


class Board:
    """Hands out the pieces of one file.

    Args:
        here: What is here; the caller adds to it.
        connections: How many will ask.
    """

    def __init__(self, size: int, here: Ranges, connections: int) -> None:
        self._size = size
        self._here = here
        self._running: list[Piece] = []
        share = min(PIECE_BYTES, size // (connections * 4)) if connections > 1 else size
        self._piece_bytes = max(LEAST_BYTES, share)
        self._usual_speed = 0.0

    @property
    def is_done(self) -> bool:
        return self._here.frontier >= self._size

    def claim(self, now: float) -> Piece | None:
        """Hand out a piece; None where there is nothing to do for now.

        Args:
            now: Seconds on any clock.
        """
        piece = self._unclaimed(now) or self._shared(now)
        if piece is not None:
            self._running.append(piece)
        return piece

    def give_back(self, piece: Piece, now: float) -> None:
        """Take a piece from whoever had it, done or not."""
        self._running.remove(piece)
        if piece.lacking <= 0 and piece.at > piece.began_at:
            self._usual_speed = piece.speed(now)

    def whole(self, piece: Piece) -> None:
        """Let one have all that follows: the server sends no parts."""
        piece.end, piece.is_alone = self._size, True

    def _unclaimed(self, now: float) -> Piece | None:
        for start, end in self._gaps(self._here.frontier + AHEAD_BYTES):
            stop = min(end, start + self._piece_bytes)
            if end - stop < LEAST_BYTES:
                stop = end
            return Piece(start, stop, start, now)
        return None

    def _gaps(self, limit: int) -> Sequence[tuple[int, int]]:
        """What is neither here nor being fetched, up to a limit."""
        taken = Ranges()
        for start, end in self._here:
            taken.add(start, end)
        for piece in self._running:
            taken.add(piece.at, piece.end)
        return taken.lacking(0, min(limit, self._size))

    def _shared(self, now: float) -> Piece | None:
        """Take the rest of a slow one, or half of one that has long to go."""
        for piece in sorted(self._running, key=lambda p: p.lacking, reverse=True):
            if piece.is_alone or now - piece.began_s < _WORTH_S * 2**piece.taken:
                continue
            if piece.lacking <= piece.speed(now) * _WORTH_S:
                continue
            if self._is_slow(piece, now):
                return self._from(piece, piece.at, now)
            if piece.lacking > 2 * LEAST_BYTES:
                return self._from(piece, piece.at + piece.lacking // 2, now)
        return None

    def _is_slow(self, piece: Piece, now: float) -> bool:
        others = [p.speed(now) for p in self._running if p is not piece]
        return piece.speed(now) * _SLOW < max(others, default=self._usual_speed)

    def _from(self, piece: Piece, start: int, now: float) -> Piece:
        taken = piece.taken + (start == piece.at)
        end, piece.end = piece.end, start
        return Piece(start, end, start, now, taken)
