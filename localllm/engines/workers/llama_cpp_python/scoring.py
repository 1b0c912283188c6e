"""Runs in the child: how likely the model finds given tokens, one after the other, by its logits."""

from __future__ import annotations

from typing import Any

from localllm.engines.workers.scores import ScoreRequest, score_entry


def score(llm: Any, lib: Any, asked: ScoreRequest, gone: Any) -> list[object]:  # noqa: ANN401
    """Score the tokens from the first that is wanted on; what the sequence held before is forgotten.

    The context keeps the logits of one token at a time, see loading.py.

    Raises:
        ConnectionAbortedError: The client has gone.
    """
    llm.reset()
    llm.eval(asked.tokens[: asked.start])
    entries: list[object] = []
    for number in asked.tokens[asked.start :]:
        entries.append(_entry(llm, lib, number, asked.top))
        llm.eval([number])
        if gone():
            raise ConnectionAbortedError
    return entries


def _entry(llm: Any, lib: Any, number: int, top: int) -> object:  # noqa: ANN401
    import numpy as np  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # the engine brings it

    pointer = lib.llama_get_logits_ith(llm.ctx, -1)
    logits = np.ctypeslib.as_array(pointer, shape=(llm.n_vocab(),)).astype(np.float64)
    most = logits.max()
    shares = logits - (most + np.log(np.exp(logits - most).sum()))
    likely = np.argsort(-shares)[:top]
    pairs = ((int(one), float(shares[one])) for one in likely)
    return score_entry(number, float(shares[number]), pairs)
