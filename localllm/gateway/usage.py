"""What an answer took, read off what an engine said at its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from localllm.gateway.translate.chunks import Timings, Usage

TAIL_BYTES = 4096
"""Of a stream, that hold its last events: the usage and the timings are in one of them."""


@dataclass(frozen=True, slots=True)
class Tokens:
    prompt: int
    cached: int
    """Of the prompt, those that were not read again."""

    generated: int
    reasoning: int = 0
    read_s: float | None = None
    """What reading took, by the engine's own clock."""


class _Counted(msgspec.Struct):
    usage: Usage | None = None
    timings: Timings | None = None


def tokens_of(usage: Usage | None, timings: Timings | None) -> Tokens | None:
    """Count, by the usage where there is one; None where the engine has told nothing."""
    read_s = timings.prompt_ms / 1000 if timings is not None and timings.prompt_ms > 0 else None
    if usage is not None and (usage.prompt_tokens or usage.completion_tokens):
        return Tokens(
            usage.prompt_tokens,
            max(usage.cached_tokens, timings.cache_n if timings else 0),
            usage.completion_tokens,
            usage.reasoning_tokens,
            read_s,
        )
    if timings is not None:
        prompt = timings.prompt_n + timings.cache_n
        return Tokens(prompt, timings.cache_n, timings.predicted_n, read_s=read_s)
    return None


def tokens_in_document(body: bytes) -> Tokens | None:
    """Count what an answer of one document took."""
    counted = _read(body)
    return None if counted is None else tokens_of(counted.usage, counted.timings)


def tokens_in_tail(tail: bytes) -> Tokens | None:
    """Count by the last events of a stream.

    Args:
        tail: Its last bytes, TAIL_BYTES at most; the first event in it may be cut.
    """
    usage: Usage | None = None
    timings: Timings | None = None
    for line in tail.splitlines():
        counted = _read(line.removeprefix(b"data: ")) if line.startswith(b"data: {") else None
        if counted is not None:
            usage, timings = counted.usage or usage, counted.timings or timings
    return tokens_of(usage, timings)


def _read(body: bytes) -> _Counted | None:
    try:
        return msgspec.json.decode(body, type=_Counted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
