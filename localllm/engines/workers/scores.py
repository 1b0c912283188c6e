"""`/score`: how likely a worker's model finds given tokens, each before it has seen it. Loads no engine.

A path of our own: llama.cpp's server has none for it. `quality/scoring.py` asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from localllm.engines.workers.http import invalid, too_long

SCORE_PATH = "/score"
_MOST_TOP = 100


class ScoreRequest(msgspec.Struct):
    """What is asked."""

    tokens: list[int]
    start: int = msgspec.field(name="from")
    """The first of them that is scored; at least one comes before it."""

    top: int = 0
    """How many of the likeliest are told at each place."""


def score_request(body: dict[str, Any], *, vocabulary: int, context: int) -> ScoreRequest:
    """Read a request.

    Raises:
        Refusal: It is wrong, or longer than the context.
    """
    try:
        asked = msgspec.convert(body, ScoreRequest)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    if not 1 <= asked.start < len(asked.tokens) or not 0 <= asked.top <= _MOST_TOP:
        raise invalid(f"from: 1 to all but one of the tokens; top: 0 to {_MOST_TOP}")
    if not all(0 <= token < vocabulary for token in asked.tokens):
        raise invalid(f"tokens: the numbers of tokens end below {vocabulary}")
    if len(asked.tokens) > context:
        raise too_long(len(asked.tokens), context)
    return asked


def score_entry(token: int, logprob: float, top: Iterable[tuple[int, float]]) -> list[object]:
    """Write one place as `quality/facts.py` reads it; what is no number is null."""
    known = [[number, share] for number, share in top if math.isfinite(share)]
    return [token, logprob if math.isfinite(logprob) else None, known]
