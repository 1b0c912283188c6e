"""What is said of a pull before it begins: why this one, or why none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from localllm.errors import AccessRefused, DoesNotFit, EngineUnusable, LocalLLMError, NoNetwork
from localllm.fit.plan import Verdict
from localllm.fit.speed import Speed
from localllm.formats.header import Format
from localllm.planning.considering import Considered, Judge, advice
from localllm.planning.deciding import Deciding
from localllm.planning.decision import Decision, why_this
from localllm.planning.hub_offers import Check
from localllm.store import hub_errors
from localllm.store.contents import Variant
from localllm.store.hub_errors import Conversion
from localllm.store.repository import Repository


def reason_of(one: Considered, decision: Decision, judge: Judge) -> str:
    """Why this one, and what it will take: quantization, context, memory and speed."""
    return " ".join(_reasons(one, decision, judge))


def _reasons(one: Considered, decision: Decision, judge: Judge) -> Iterator[str]:
    plan = one.plan
    if decision.is_chosen(one):
        yield why_this(decision.with_chosen(one), judge) or ""
    elif plan is not None and plan.verdict is Verdict.TOO_BIG:
        yield "It does not fit on this machine as it is now."
    if plan is None:
        yield one.why_not or "Whether it fits is not known."
        return
    yield plan.reason
    if plan.verdict is not Verdict.TOO_BIG and plan.speed is not None:
        yield _how_fast(plan.speed)


def _how_fast(speed: Speed) -> str:
    said = "were measured" if speed.measured else "are expected"
    return f"{speed.decode_tps:.0f} tokens/s {said}."


def none_chosen(model: str, decision: Decision, asked: Deciding) -> DoesNotFit:
    """Say why none is taken, and what would help."""
    pairs = zip(decision.considered, decision.picked.lacks, strict=True)
    servable = [(one, lacks) for one, lacks in pairs if one.offer.format in asked.judge.formats]
    for one, lacks in servable:
        if one.plan is not None and one.plan.verdict is not Verdict.TOO_BIG:
            return DoesNotFit(
                f"Nothing of {model} that fits on this machine is good enough to be taken unasked.",
                why=f"{one.offer.quant or 'it'} {lacks}",
                fix=f"localllm pull {model} --quant {one.offer.quant}, or a smaller model: "
                "localllm plan",
            )
    return does_not_fit(model, [one for one, _ in servable] or decision.considered, asked)


def does_not_fit(model: str, considered: Sequence[Considered], asked: Deciding) -> DoesNotFit:
    """Say what is lacking, and what it would take."""
    fix = f"localllm plan {model}, or a smaller model; or localllm pull {model} --anyway"
    planned = [one for one in considered if one.plan is not None]
    if not planned:
        return DoesNotFit(
            f"Whether {model} fits on this machine is not known.",
            why=next((one.why_not for one in considered if one.why_not), "nobody tells its size"),
            fix=fix,
        )
    least = min(planned, key=_need)
    assert least.plan is not None
    would = advice(considered, asked.judge, asked.budgets)
    return DoesNotFit(
        f"{model} does not fit on this machine.",
        why=" ".join(
            filter(None, (least.offer.quant and f"{least.offer.quant}:", least.plan.reason, would))
        ),
        fix=fix,
    )


def _need(one: Considered) -> int:
    return 0 if one.plan is None else one.plan.memory.total


def must_not_ask(what: str, found: str | None = None) -> NoNetwork:
    """Say what is missing, and that nobody may be asked for it.

    Args:
        found: What is here in its place; None: nothing.
    """
    why = "HF_HUB_OFFLINE is set, or --offline was given"
    return NoNetwork(
        f"{what} is not on this disk, and no hub may be asked for it.",
        why=why if found is None else f"{why}; {found}",
        fix="take that back, or choose a model that is on this disk: localllm ls",
    )


@contextmanager
def naming_the_missing(what: str) -> Iterator[None]:
    """Say of what it is that a hub cannot be asked for it; a refusal says so itself."""
    try:
        yield
    except AccessRefused:
        raise
    except NoNetwork as error:
        raise NoNetwork(
            f"{what} is not on this disk, and it cannot be fetched: {error.what}",
            why=error.why,
            fix=error.fix,
        ) from error


def require_servable(asked: Deciding) -> Check:
    """Make what refuses a repository that no engine here serves any model of."""
    formats = asked.judge.formats

    def check(repository: Repository, models: Sequence[Variant]) -> None:
        there = {model.format for model in models}
        if not there or there & formats:
            return
        if Format.MLX in there:
            raise _only_mlx(repository.name)
        raise hub_errors.only_safetensors(
            repository.name, _conversions(repository.name, asked.desk.environment)
        )

    return check


def _conversions(name: str, environment: Mapping[str, str]) -> Sequence[Conversion]:
    """What was made of it; nothing where the hub does not say."""
    from localllm.store.hub import HuggingFaceHub  # noqa: PLC0415  # half a second

    try:
        return HuggingFaceHub(environment).fetch_conversions(name)
    except LocalLLMError:  # what it cannot say is no reason to say less of the repository
        return ()


def _only_mlx(name: str) -> EngineUnusable:
    return EngineUnusable(
        f"{name} is in MLX's format, and no engine here serves that.",
        why="mlx-lm does, best on a Mac with Apple's own chip",
        fix="pip install mlx-lm, or choose a GGUF of the model: localllm plan",
    )
