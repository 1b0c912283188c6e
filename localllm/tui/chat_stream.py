"""Reads the answer of a chat out of its server-sent events, and measures it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from localllm.tui.words import DASH, duration_of, plain

_DATA, _DONE = b"data:", b"[DONE]"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what it thinks before."""

    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of the whole answer; the engine knows."""

    tokens: int


@dataclass(frozen=True, slots=True)
class Cut:
    """It ended since there was no room for more."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The stream carries an error in the place of the rest."""

    what: str


Piece = Said | Thought | Counted | Cut | Broken


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Error(msgspec.Struct):
    message: str = "the stream broke off"


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | None = None


def parse_line(line: bytes) -> Sequence[Piece]:
    """Read one line; comments, names of events and what is no JSON say nothing."""
    if not line.startswith(_DATA) or line.strip().endswith(_DONE):
        return ()
    try:
        chunk = msgspec.json.decode(line[len(_DATA) :], type=_Chunk)
    except msgspec.DecodeError:
        return ()
    if chunk.error is not None:
        return (Broken(chunk.error.message),)
    pieces = [piece for choice in chunk.choices for piece in _of_choice(choice)]
    if chunk.usage is not None and chunk.usage.completion_tokens:
        pieces.append(Counted(chunk.usage.completion_tokens))
    return pieces


def _of_choice(choice: _Choice) -> list[Piece]:
    pieces = list[Piece]()
    delta = choice.delta or _Delta()
    if thought := delta.reasoning_content or delta.reasoning:
        pieces.append(Thought(thought))
    if delta.content:
        pieces.append(Said(delta.content))
    if choice.finish_reason == "length":
        pieces.append(Cut())
    return pieces


def request_of(model: str, turns: Sequence[Turn]) -> bytes:
    """Write the request for the next answer."""
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return msgspec.json.encode({"model": model, "messages": messages, **options})


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
            f"{about}{count} token{'s' if count != 1 else ''}",
            f"{self.tps:.1f} tok/s" if self.tps else f"{DASH} tok/s",
            f"first after {duration_of(self.first_at - self.asked_at)}",
        ]
        parts += ["cut off: the context is full"] if self.is_cut else []
        return ", ".join([*parts, how] if how else parts)


def harmless_markdown(text: str) -> str:
    """Take out what a terminal would obey; lines and tabs stay."""
    kept = text.replace("\r", "").expandtabs(4)
    return "\n".join(plain(line) for line in kept.split("\n"))
