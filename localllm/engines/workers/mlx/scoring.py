"""Runs in the child: how likely the model finds given tokens; a few at a time, so that others get on."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from localllm.engines.workers.mlx.generation import Attend, Generator
from localllm.engines.workers.scores import ScoreRequest, score_entry

_STEP = 16
"""Tokens read between two steps of the generating thread: their logits are in memory at once."""


def score(generator: Generator, asked: ScoreRequest, attend: Attend) -> list[object]:
    """Score the tokens from the first that is wanted on.

    Raises:
        Exception: The client has gone, or the model is none that can be read so.
    """
    model: Any = generator.model_provider.model
    cache = generator.do(lambda *_: make_prompt_cache(model), attend)
    entries: list[object] = []
    for begin in range(0, len(asked.tokens) - 1, _STEP):
        part = asked.tokens[begin : min(begin + _STEP, len(asked.tokens) - 1)]
        first = max(asked.start - 1 - begin, 0)  # a logit foretells the token behind it

        def read(*_: object, part: list[int] = part, begin: int = begin, first: int = first) -> Any:  # noqa: ANN401
            return _read(model, cache, asked, part, begin, first)

        entries += generator.do(read, attend)
    return entries


def _read(
    model: Any,  # noqa: ANN401
    cache: Any,  # noqa: ANN401
    asked: ScoreRequest,
    part: list[int],
    begin: int,
    first: int,
) -> list[object]:
    logits = model(mx.array(part)[None], cache=cache)[0].astype(mx.float32)
    shares = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    if first >= len(part):
        mx.eval(shares)
        return []
    wanted = shares[first:]
    order = mx.argsort(-wanted, axis=-1)[:, : asked.top]
    tops: Any = mx.take_along_axis(wanted, order, axis=-1).tolist()
    numbers: Any = order.tolist()
    entries: list[object] = []
    for row, number in enumerate(asked.tokens[begin + first + 1 : begin + len(part) + 1]):
        told = wanted[row, number].item()
        entries.append(score_entry(number, told, zip(numbers[row], tops[row], strict=True)))
    return entries
