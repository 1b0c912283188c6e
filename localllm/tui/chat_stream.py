"""Measures how fast the answer of a chat comes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.api.chat_stream import Broken, Counted, Cut, Piece, Said, Thought
from localllm.wording.figures import DASH, counted, duration_of


@dataclass(slots=True)
class Measured:
    """How fast one answer comes; seconds of a clock that only grows.

    Args:
        asked_at: When it was asked for.
    """

    asked_at: float
    first_at: float | None = None
    last_at: float | None = None
    pieces: int = 0
    tokens: int | None = None
    """None until the engine has told."""

    is_cut: bool = False

    def see(self, piece: Piece, now: float) -> None:
        """Take a piece into account."""
        match piece:
            case Said() | Thought():
                self.first_at = now if self.first_at is None else self.first_at
                self.last_at = now
                self.pieces += 1
            case Counted(tokens):
                self.tokens = tokens
            case Cut():
                self.is_cut = True
            case Broken():
                pass

    @property
    def tps(self) -> float | None:
        """Tokens per second from the first one on; None with fewer than two."""
        count = self.tokens or self.pieces
        if self.first_at is None or self.last_at is None or count < 2:  # noqa: PLR2004
            return None
        took_s = self.last_at - self.first_at
        return (count - 1) / took_s if took_s > 0 else None

    def line(self, how: str = "") -> str:
        """Say it under the answer.

        Args:
            how: It ended otherwise than by itself, as in "stopped".
        """
        if self.first_at is None:
            return how or "no token has come yet"
        about = "" if self.tokens else "about "
        count = self.tokens or self.pieces
        parts = [
            f"{about}{counted(count, 'token')}",
            f"{self.tps:.1f} tok/s" if self.tps else f"{DASH} tok/s",
            f"first after {duration_of(self.first_at - self.asked_at)}",
        ]
        parts += ["cut off: the context is full"] if self.is_cut else []
        return ", ".join([*parts, how] if how else parts)
