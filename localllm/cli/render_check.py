"""The report of an examination for people."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from localllm.api.check_views import (
    BesideView,
    CalledView,
    CheckReportView,
    ExaminedView,
    FindingView,
    TriedView,
)
from localllm.cli.columns import columns as width_of
from localllm.cli.columns import padded
from localllm.wording.figures import DASH, speed_of
from localllm.wording.plain import plain

_WORDS = {"note": "", "worse": "worse: ", "broken": "broken: "}


def render_check(report: CheckReportView) -> list[str]:
    """Write it: a table, what the questions gave, the findings, the verdict last."""
    columns = [report.model, *([] if report.against is None else [report.against])]
    return [
        *_aligned([*_rows(columns)]),
        *_beside(report),
        *_failed("tasks not passed", _tasks(report.model.tasks)),
        *_failed("calls", _calls(report.model.calls)),
        "",
        *(_finding(one) for one in report.findings),
        f"verdict: {report.verdict}",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align all to the left: they are words more than figures."""
    widths = [max(width_of(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _rows(columns: Sequence[ExaminedView]) -> Iterator[list[str]]:
    names = [plain(one.id) for one in columns]
    yield ["", *names]
    yield ["engine", *(f"{one.engine} {one.engine_version}".rstrip() for one in columns)]
    yield ["quantization", *(plain(one.quant or DASH) for one in columns)]
    yield ["tokenizer", *map(_tokenizer, columns)]
    yield ["perplexity", *map(_perplexity, columns)]
    yield ["bits per byte", *map(_bits, columns)]
    yield ["tasks", *(_score(one.tasks) for one in columns)]
    yield ["calls", *(_rate(one.calls) for one in columns)]
    yield ["reads", *(speed_of(one.prefill_tps) for one in columns)]
    yield ["writes", *(speed_of(one.decode_tps) for one in columns)]
    yield ["check", *(f"{'quick' if one.quick else 'full'}, {one.took:.0f} s" for one in columns)]
    if len(columns) > 1:
        yield ["examined", *(_day(one.at) for one in columns)]


def _tokenizer(one: ExaminedView) -> str:
    if one.tokenizer.tokens is None:
        return DASH
    told = f"{one.tokenizer.tokens} tokens"
    joined = {True: "joins them again", False: "does not join them", None: ""}
    return ", ".join(filter(None, (told, joined[one.tokenizer.round_trip])))


def _perplexity(one: ExaminedView) -> str:
    told = one.perplexity
    return DASH if told is None else f"{told.perplexity:.2f} over {told.tokens} tokens"


def _bits(one: ExaminedView) -> str:
    return DASH if one.perplexity is None else f"{one.perplexity.bits_per_byte:.3f}"


def _score(tasks: Sequence[TriedView]) -> str:
    judged = [one for one in tasks if one.passed is not None]
    return f"{sum(one.passed is True for one in judged)}/{len(judged)} passed" if judged else DASH


def _rate(calls: Sequence[CalledView]) -> str:
    asked = sum(one.asked for one in calls)
    if not asked:
        return DASH
    valid, right = sum(one.valid for one in calls), sum(one.right for one in calls)
    return f"{valid}/{asked} valid, {right}/{asked} right"


def _beside(report: CheckReportView) -> Iterator[str]:
    if report.model.no_perplexity is not None:
        yield f"no perplexity: {plain(report.model.no_perplexity)}"
    if report.beside is not None:
        yield from _token_by_token(report.beside)


def _token_by_token(told: BesideView) -> Iterator[str]:
    ratio, error = told.perplexity_ratio - 1, told.perplexity_ratio_error
    yield f"token by token: perplexity {ratio:+.1%} ± {error:.1%},"
    yield (
        f"  divergence at least {told.divergence:.4f} nats, "
        f"the same likeliest token in {told.same_first:.1%}"
    )


def _tasks(tasks: Sequence[TriedView]) -> Iterator[str]:
    for one in tasks:
        if one.passed is not True:
            yield f"  {one.name}: {plain(one.why)}"


def _calls(calls: Sequence[CalledView]) -> Iterator[str]:
    for one in calls:
        why = f": {plain(one.why)}" if one.why else ""
        if not one.asked:
            yield f"  {one.name} ({one.api}){why}"
            continue
        yield f"  {one.name} ({one.api}): {one.valid} of {one.asked} valid, {one.right} right{why}"


def _failed(title: str, lines: Iterator[str]) -> list[str]:
    told = [*lines]
    return ["", f"{title}:", *told] if told else []


def _finding(one: FindingView) -> str:
    return f"{_WORDS[one.weight]}{plain(one.what)}"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
