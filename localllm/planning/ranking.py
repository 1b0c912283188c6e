"""Which of several plans to take, and what each other one lacks. Pure; the same plans, the same choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.catalog.ladder import Advice
from localllm.fit.plan import Plan, Verdict
from localllm.units import size


@dataclass(frozen=True, slots=True)
class Need:
    """What a use asks of a model."""

    context: int
    """Tokens that it should have room for."""

    least_context: int
    """Tokens below which it is hardly of use."""

    least_tps: float
    """Tokens per second below which nobody waits for it."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One quantization of one model, planned; or, without a plan, why there is none."""

    model: str
    quant: str | None
    size_bytes: int | None
    plan: Plan | None
    rank: int | None = None
    """The model's place in the user's own ranking; the first is 0."""

    score: float | None = None
    """What the model's card publishes for the use; only the same benchmark's are compared."""

    parameters: int | None = None
    rung: int | None = None
    """The quantization's place on the ladder; the best is 0."""

    kld: float | None = None
    """Mean KL divergence from the unquantized model."""

    advice: Advice | None = None
    no_engine: str | None = None
    """Why nothing here can run it, whether or not it fits; None: something can."""

    most_context: int | None = None
    """Tokens that the model was trained with."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The place of the one to take, None if none is any good; and of each one what it lacks."""

    index: int | None
    lacks: tuple[str, ...]
    """Empty for the chosen one."""


def choose(contenders: Sequence[Contender], need: Need) -> Choice:
    """Take the best quality that fits with the context that is needed, fast enough."""
    fitting = [i for i, c in enumerate(contenders) if _can_be_taken(c)]
    if not fitting:
        return Choice(None, tuple(_why_unfit(c) for c in contenders))
    best = min(fitting, key=lambda i: _order(contenders[i], need))
    lacks = (
        "" if i == best else _lacks(c, contenders[best], need) for i, c in enumerate(contenders)
    )
    return Choice(best, tuple(lacks))


def is_useful(contender: Contender, need: Need) -> bool:
    """Whether it is more than a toy for this use."""
    return _fits(contender) and _long_enough(contender, need) and _fast_enough(contender, need)


def cannot_be_beaten(contender: Contender, need: Need) -> bool:
    """Whether it has all that counts, so that only a better quality could come before it."""
    plan = contender.plan
    return (
        plan is not None
        and is_useful(contender, need)
        and plan.verdict is Verdict.FITS
        and plan.context >= min(need.context, contender.most_context or need.context)
        and not _costs_context(contender)
        and _can_be_taken(contender)
    )


def _fits(contender: Contender) -> bool:
    return contender.plan is not None and contender.plan.verdict is not Verdict.TOO_BIG


def _can_be_taken(contender: Contender) -> bool:
    return _fits(contender) and not _on_request(contender) and contender.no_engine is None


def _on_request(contender: Contender) -> bool:
    return contender.advice is Advice.ON_REQUEST


def _costs_context(contender: Contender) -> bool:
    """Whether more bits than anyone notices take the room of tokens."""
    plan = contender.plan
    return (
        contender.advice is Advice.IF_ROOM
        and plan is not None
        and plan.context < (contender.most_context or 0)
    )


def _order(contender: Contender, need: Need) -> tuple[object, ...]:
    """What counts, in this order; the smallest wins."""
    plan = contender.plan
    assert plan is not None
    return (
        not is_useful(contender, need),
        plan.verdict is not Verdict.FITS,
        plan.context < need.context,
        _or_last(contender.rank),
        contender.score is None,
        -(contender.score or 0.0),
        -(contender.parameters or 0),
        _costs_context(contender),
        _or_last(contender.rung),
        -plan.context,
        contender.size_bytes or 0,
        contender.model,
        contender.quant or "",
    )


def _or_last(place: int | None) -> int:
    return 1_000_000 if place is None else place


def _long_enough(contender: Contender, need: Need) -> bool:
    plan = contender.plan
    return plan is not None and plan.context >= need.least_context


def _fast_enough(contender: Contender, need: Need) -> bool:
    """A speed that nobody can predict is not held against a model."""
    speed = None if contender.plan is None else contender.plan.speed
    if speed is None or speed.decode_full_tps is None:  # measured once, and nobody could predict it
        return True
    return speed.decode_tps >= need.least_tps


def _why_unfit(contender: Contender) -> str:
    if contender.plan is None:
        return "its numbers are not known yet"
    if not _fits(contender):
        return "does not fit"
    return contender.no_engine or "loses too much to be chosen unasked"


def _lacks(contender: Contender, best: Contender, need: Need) -> str:
    if not _can_be_taken(contender):
        return _why_unfit(contender)
    return _lacks_for_use(contender, best, need)


def _lacks_for_use(contender: Contender, best: Contender, need: Need) -> str:
    plan, other = contender.plan, best.plan
    assert plan is not None
    assert other is not None
    if not _long_enough(contender, need) and _long_enough(best, need):
        return f"has room for {plan.context} tokens only, {need.least_context} are the least"
    if not _fast_enough(contender, need) and _fast_enough(best, need):
        return f"gives {plan.decode_tps:.1f} tokens/s, {need.least_tps:g} are the least"
    if plan.verdict is not Verdict.FITS and other.verdict is Verdict.FITS:
        return "leaves a part on the processor"
    if plan.context < need.context <= other.context:
        return f"has room for {plan.context} tokens, {need.context} are wanted"
    return _why_second(contender, best)


def _why_second(contender: Contender, best: Contender) -> str:
    if contender.model != best.model and (why := _why_second_model(contender, best)):
        return why
    if _costs_context(contender) and not _costs_context(best):
        return f"takes the room of {_missing(contender)} tokens for a difference that nobody sees"
    if _or_last(contender.rung) > _or_last(best.rung):
        return _why_lower_rung(contender, best)
    if contender.size_bytes and best.size_bytes and contender.size_bytes > best.size_bytes:
        return f"takes {size(contender.size_bytes - best.size_bytes)} more for the same"
    return "is no better"


def _missing(contender: Contender) -> int:
    assert contender.plan is not None
    return (contender.most_context or 0) - contender.plan.context


def _why_second_model(contender: Contender, best: Contender) -> str | None:
    """What the other model has over it, whatever the quantization; None: nothing."""
    if _or_last(best.rank) < _or_last(contender.rank):
        return f"comes after {best.model} in your ranking"
    if best.score is not None and contender.score is None:
        return f"publishes no score to hold against {best.model}"
    if best.score is not None and contender.score is not None and best.score > contender.score:
        return f"scores {contender.score:g}, {best.model} {best.score:g}"
    if (contender.parameters or 0) < (best.parameters or 0):
        known = contender.parameters is not None
        return f"is smaller than {best.model}" if known else "does not tell its size"
    return None


def _why_lower_rung(contender: Contender, best: Contender) -> str:
    if contender.kld is not None and best.kld is not None and contender.kld > best.kld:
        return f"strays further from the unquantized model (KL divergence {contender.kld:.4f}, {best.kld:.4f})"
    return f"is below {best.quant} on the ladder"
