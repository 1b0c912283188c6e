"""The examination of a model, as the control API takes and tells it."""

from __future__ import annotations

from typing import Literal

from localllm.api.views import View

State = Literal["running", "done", "failed"]


class CheckRequest(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    model: str
    """As `up` takes it: a name, hf:owner/repo[:quant], a path."""

    against: str | None = None
    """Another one, which is taken for right; null: what is remembered of this one."""

    quick: bool = False
    fresh: bool = False
    """Whether `against` is examined anew, though a result of it is kept."""

    switch: bool = False
    """Whether it may be served in the place of what is, for as long as it takes."""

    while_watched: bool = False
    """Whether it ends by itself once nobody has looked at it for half a minute."""


class PassageView(View, frozen=True, kw_only=True):
    name: str
    kind: str
    tokens: int
    perplexity: float | None
    bits_per_byte: float | None


class PerplexityView(View, frozen=True, kw_only=True):
    tokens: int
    perplexity: float
    bits_per_byte: float
    passages: list[PassageView]


class TriedView(View, frozen=True, kw_only=True):
    name: str
    passed: bool | None
    """null: not judged, `why` says what was in the way."""

    why: str
    answer: str


class CalledView(View, frozen=True, kw_only=True):
    name: str
    api: str
    asked: int
    valid: int
    right: int
    why: str


class TokenizerView(View, frozen=True, kw_only=True):
    tokens: int | None
    """Of the fixed text; null where the engine does not tell."""

    round_trip: bool | None
    knows_tools: bool | None
    templates: dict[str, str]
    """Fixed conversations, as its chat template writes them."""


class ExaminedView(View, frozen=True, kw_only=True):
    id: str
    engine: str
    engine_version: str
    quant: str | None
    context: int
    quick: bool
    at: float
    """Unix seconds; long ago where it is a kept result."""

    took: float
    tokenizer: TokenizerView
    perplexity: PerplexityView | None
    no_perplexity: str | None
    """Why there is none."""

    tasks: list[TriedView]
    calls: list[CalledView]
    prefill_tps: float | None
    decode_tps: float | None


class BesideView(View, frozen=True, kw_only=True):
    """Token by token beside the other one; null where they cut texts differently."""

    tokens: int
    perplexity_ratio: float
    perplexity_ratio_error: float
    """Standard error."""

    divergence: float
    """Mean Kullback-Leibler divergence in nats, a lower bound."""

    same_first: float
    """Share of places where both find the same token likeliest."""


class FindingView(View, frozen=True, kw_only=True):
    weight: Literal["note", "worse", "broken"]
    what: str


class CheckReportView(View, frozen=True, kw_only=True):
    verdict: Literal["ok", "worse", "broken"]
    findings: list[FindingView]
    model: ExaminedView
    against: ExaminedView | None
    """What it was held to; null: nothing is remembered of it."""

    against_is_earlier: bool
    """Whether that was remembered, and not asked for."""

    beside: BesideView | None


class CheckErrorView(View, frozen=True, kw_only=True):
    """Why there is no report."""

    code: str
    what: str
    why: str
    fix: str


class CheckView(View, frozen=True, kw_only=True):
    """The one under way, or the last one."""

    number: int
    state: State
    request: CheckRequest
    doing: str
    steps: list[str]
    """What was done so far, in words; it grows."""

    report: CheckReportView | None = None
    error: CheckErrorView | None = None
