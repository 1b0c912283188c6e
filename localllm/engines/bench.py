"""How fast an engine serves a model here: one stream, by the clock of whoever asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localllm.engines.base import Engine, Installed, Serving
from localllm.engines.load_log import misplaced, parse_load_log
from localllm.engines.short_run import RunFailed, ShortRun, short_run

_SENTENCE = "The quick brown fox jumps over the lazy dog while nobody is looking. "
_TIMES, _TOKENS, _SHORT_TOKENS = 40, 48, 1


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens per second of one stream."""

    prefill_tps: float
    decode_tps: float


def measure(
    engine: Engine, found: Installed, serving: Serving, environment: Mapping[str, str]
) -> Pace:
    """Start it, read a prompt, write an answer, end it.

    Raises:
        RunFailed: It does not start or answer, or computes elsewhere than it should.
    """
    with short_run(engine, found, serving, environment) as run:
        run.wait_until_ready(run.spec.start_deadline_s)
        wrong = misplaced(parse_load_log(run.log()), serving)
        if run.spec.tells_placement and wrong is not None:
            raise RunFailed(wrong)
        _chat(run, "once, for what is done but once", _SHORT_TOKENS)
        return _pace(run)


def _pace(run: ShortRun) -> Pace:
    """Tell reading and writing apart by two requests: one token of an answer, then many."""
    prompt = _SENTENCE * _TIMES
    reading_s, read = _chat(run, f"1. {prompt}", _SHORT_TOKENS)
    both_s, both = _chat(run, f"2. {prompt}", _TOKENS)
    written = both["completion_tokens"] - read["completion_tokens"]
    if written < 1:
        raise RunFailed("its answer is a single word, so its speed cannot be told")
    return Pace(
        prefill_tps=read["prompt_tokens"] / reading_s,
        decode_tps=written / max(both_s - reading_s, 1e-3),
    )


def _chat(run: ShortRun, prompt: str, tokens: int) -> tuple[float, dict[str, Any]]:
    """Ask, past every cache; return the seconds it took, and what was read and written."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "temperature": 0,
        "cache_prompt": False,
    }
    begun = time.monotonic()
    answer = run.post("/v1/chat/completions", body)
    return time.monotonic() - begun, dict(answer["usage"])
