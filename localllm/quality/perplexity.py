"""How well a model foresees a text, alone and beside another one. Pure.

Perplexity is e to the mean of -log p over the scored tokens. Two models with one tokenizer are
compared token by token: what makes a text hard is hard for both, so the differences scatter far less
than the values, and their standard error says what is noise. Models with different tokenizers are
compared by bits for a byte of the same text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from localllm.quality.facts import Facts, Scored, Token

_LEAST_MASS = 1e-12


@dataclass(frozen=True, slots=True)
class Foresight:
    """Of one model, over all passages that were read."""

    tokens: int
    perplexity: float
    bits_per_byte: float
    lost: int
    """Tokens whose probability is no number; they are left out of the rest."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One model beside another one, both having read the same."""

    tokens: int
    more_nats: float
    """Mean of how many nats it loses on a token beyond the other: the logarithm of the quotient of
    the perplexities; below 0 it foresees better."""

    error_nats: float
    """Standard error of that mean."""

    divergence: float
    """Mean Kullback-Leibler divergence of the other one's distribution from this one's, in nats: a
    lower bound, see `divergence_of`."""

    same_first: float
    """Share of places where both find the same token likeliest."""

    @property
    def surely_more_nats(self) -> float:
        """What it loses at least, by two standard errors."""
        return self.more_nats - 2 * self.error_nats


def foresight_of(scored: Sequence[Scored], kind: str | None = None) -> Foresight | None:
    """Sum up what was scored.

    Args:
        kind: Of passages to count; None is all.

    Returns:
        None where there is nothing, or not one number.
    """
    chosen = [one for one in scored if kind in {None, one.kind}]
    tokens = [token for one in chosen for token in one.tokens]
    told = [token.logprob for token in tokens if token.logprob is not None]
    if not told:
        return None
    nats = -fmean(told)
    size_bytes = sum(one.size_bytes for one in chosen) * len(told) / len(tokens)
    return Foresight(
        tokens=len(told),
        perplexity=math.exp(min(nats, 700.0)),
        bits_per_byte=nats * len(told) / math.log(2) / size_bytes,
        lost=len(tokens) - len(told),
    )


def lost_tokens(scored: Iterable[Scored]) -> int:
    """Count the tokens whose probability is no number."""
    return sum(token.logprob is None for one in scored for token in one.tokens)


def beside(one: Facts, other: Facts) -> Beside | None:
    """Compare token by token.

    Returns:
        None where they have not cut the same passages into the same tokens.
    """
    if one.texts_version != other.texts_version:
        return None
    known = {passage.name: passage for passage in other.scored}
    pairs = [
        pair
        for passage in one.scored
        if passage.name in known
        for pair in _pairs(passage, known[passage.name])
    ]
    if len(pairs) < 2:  # noqa: PLR2004  # two make a spread
        return None
    more = [(b.logprob or 0.0) - (a.logprob or 0.0) for a, b in pairs]
    topped = [(a, b) for a, b in pairs if a.top and b.top]
    return Beside(
        tokens=len(pairs),
        more_nats=fmean(more),
        error_nats=stdev(more) / math.sqrt(len(more)),
        divergence=fmean(divergence_of(b, a) for a, b in topped) if topped else 0.0,
        same_first=fmean(a.top[0][0] == b.top[0][0] for a, b in topped) if topped else 1.0,
    )


def _pairs(one: Scored, other: Scored) -> Sequence[tuple[Token, Token]]:
    """Pair the tokens of a passage that both have numbers for; none where they are cut differently."""
    if [token.id for token in one.tokens] != [token.id for token in other.tokens]:
        return ()
    both = zip(one.tokens, other.tokens, strict=True)
    return [(a, b) for a, b in both if a.logprob is not None and b.logprob is not None]


def divergence_of(true: Token, told: Token) -> float:
    """Bound the Kullback-Leibler divergence of `told` from `true` at one place, in nats, from below.

    Only the likeliest tokens of each are known. Those that both tell are taken one by one, all
    others of the vocabulary together as one: by the data processing inequality, putting outcomes
    together can only make the divergence smaller.
    """
    p, q = _known(true), _known(told)
    shared = p.keys() & q.keys()
    total = sum(p[token] * math.log(p[token] / q[token]) for token in shared)
    rest_p = max(1.0 - sum(p[token] for token in shared), 0.0)
    rest_q = max(1.0 - sum(q[token] for token in shared), _LEAST_MASS)
    if rest_p > _LEAST_MASS:
        total += rest_p * math.log(rest_p / rest_q)
    return max(total, 0.0)


def _known(token: Token) -> dict[int, float]:
    told = {number: math.exp(logprob) for number, logprob in token.top}
    if token.logprob is not None:
        told[token.id] = math.exp(token.logprob)
    return {number: share for number, share in told.items() if share > _LEAST_MASS}
