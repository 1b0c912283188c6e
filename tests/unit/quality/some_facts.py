"""Facts of a made-up model, for tests that say in what theirs differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from localllm.quality.facts import Facts, Scored, Speed, Subject, Token, Tokenizer, Tried


def a_token(number: int, share: float | None, *others: tuple[int, float]) -> Token:
    """One with the share that it was given; the others' come behind."""
    told = [] if share is None else [(number, share)]
    ranked = sorted([*told, *others], key=lambda one: -one[1])
    logprob = None if share is None else math.log(share)
    return Token(number, logprob, tuple((one, math.log(p)) for one, p in ranked))


def scored(shares: Sequence[float | None], *, kind: str = "english", name: str = "a") -> Scored:
    """Tokens of four bytes each."""
    tokens = tuple(a_token(n, share, (1000, 0.01)) for n, share in enumerate(shares))
    return Scored(name, kind, 4 * len(tokens), tokens)


def a_subject(**more: Any) -> Subject:
    plain: dict[str, Any] = {
        "id": "smol",
        "file": "/m/smol.gguf 1 2",
        "tokenizer_key": "llama smol 576 49152",
        "engine": "xllamacpp",
        "engine_version": "1",
        "quant": "Q4_1",
        "context": 2048,
        "parameters": 135_000_000,
    }
    return Subject(**{**plain, **more})


def some_facts(subject: Subject | None = None, **more: Any) -> Facts:
    plain: dict[str, Any] = {
        "subject": subject or a_subject(),
        "texts_version": 1,
        "quick": True,
        "at": 100.0,
        "took_s": 5.0,
        "tokenizer": Tokenizer(
            ids=(1, 2, 3), joined=True, chats={"question": "<u>q</u>"}, markup_tokens=2
        ),
        "scored": (scored([0.5] * 100),),
        "tried": (Tried("months", True, "", "January, February"),),
        "speed": Speed(100.0, 50.0),
    }
    return Facts(**{**plain, **more})
