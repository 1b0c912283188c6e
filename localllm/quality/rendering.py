"""Turns facts and findings into the documents that the control API tells. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from localllm.api.check_views import (
    BesideView,
    CalledView,
    CheckReportView,
    ExaminedView,
    FindingView,
    PassageView,
    PerplexityView,
    TokenizerView,
    TriedView,
)
from localllm.quality.facts import Facts, Scored
from localllm.quality.findings import Finding, Weight, verdict_of
from localllm.quality.perplexity import beside, foresight_of

_WEIGHTS = {Weight.NOTE: "note", Weight.WORSE: "worse", Weight.BROKEN: "broken"}
_MOST_RATIO = 700.0


def render_report(
    facts: Facts, other: Facts | None, findings: Sequence[Finding], *, is_earlier: bool
) -> CheckReportView:
    """Write the whole report.

    Args:
        other: What it was held to.
        is_earlier: Whether that was remembered, and not asked for.
    """
    ordered = sorted(findings, key=lambda one: -one.weight)
    return CheckReportView(
        verdict=verdict_of(findings),  # type: ignore[arg-type]  # one of the three
        findings=[FindingView(weight=_WEIGHTS[f.weight], what=f.what) for f in ordered],  # type: ignore[arg-type]
        model=render_examined(facts),
        against=None if other is None else render_examined(other),
        against_is_earlier=is_earlier,
        beside=None if other is None else _beside(facts, other),
    )


def render_examined(facts: Facts) -> ExaminedView:
    """Write what was found out about one model."""
    subject, tokenizer = facts.subject, facts.tokenizer
    return ExaminedView(
        id=subject.id,
        engine=subject.engine,
        engine_version=subject.engine_version,
        quant=subject.quant,
        context=subject.context,
        quick=facts.quick,
        at=facts.at,
        took=facts.took_s,
        tokenizer=TokenizerView(
            tokens=None if tokenizer.ids is None else len(tokenizer.ids),
            round_trip=tokenizer.joined,
            knows_tools=tokenizer.knows_tools,
            templates=tokenizer.chats,
        ),
        perplexity=_perplexity(facts.scored),
        no_perplexity=facts.unscored,
        tasks=[
            TriedView(name=t.name, passed=t.passed, why=t.why, answer=t.answer) for t in facts.tried
        ],
        calls=[
            CalledView(
                name=c.name, api=c.api, asked=c.asked, valid=c.valid, right=c.right, why=c.why
            )
            for c in facts.called
        ],
        prefill_tps=facts.speed.prefill_tps,
        decode_tps=facts.speed.decode_tps,
    )


def _perplexity(scored: Sequence[Scored]) -> PerplexityView | None:
    whole = foresight_of(scored)
    if whole is None:
        return None
    return PerplexityView(
        tokens=whole.tokens,
        perplexity=whole.perplexity,
        bits_per_byte=whole.bits_per_byte,
        passages=[_passage(one) for one in scored],
    )


def _passage(scored: Scored) -> PassageView:
    told = foresight_of([scored])
    return PassageView(
        name=scored.name,
        kind=scored.kind,
        tokens=len(scored.tokens),
        perplexity=None if told is None else told.perplexity,
        bits_per_byte=None if told is None else told.bits_per_byte,
    )


def _beside(facts: Facts, other: Facts) -> BesideView | None:
    if facts.subject.tokenizer_key != other.subject.tokenizer_key:
        return None
    pair = beside(facts, other)
    if pair is None:
        return None
    ratio = math.exp(min(pair.more_nats, _MOST_RATIO))
    return BesideView(
        tokens=pair.tokens,
        perplexity_ratio=ratio,
        perplexity_ratio_error=ratio * pair.error_nats,
        divergence=pair.divergence,
        same_first=pair.same_first,
    )
