"""A chat over HTTP: the request for the next answer, and the answer read out of its events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

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
