"""Makes the document of what a bench has measured so far. Pure, but for the model's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from localllm import __version__
from localllm.api.bench_views import BenchView, OwnView, PointView
from localllm.api.views import ProbeView
from localllm.bench.beginning import Begun
from localllm.bench.figures import Heap, figures_of
from localllm.bench.points import Wish
from localllm.bench.saved import run_id
from localllm.bench.subject import machine_of, predicted, read_model
from localllm.bench.watching import noise
from localllm.wording.figures import counted

_EARLY, _CACHED = 0.98, 0.9
"""Shares of what was asked: with less, an answer ended early, a depth was not in the cache."""

_LUMPED = 0.8
"""Share of the tokens that come alone; below it a gap is not one from token to token."""


def report(
    begun: Begun, probe: ProbeView, wish: Wish, *, began_at: float, took_s: float, interrupted: bool
) -> BenchView:
    """Sum a run up, whole or not; points without a single answer are left out."""
    bench = begun.bench
    heaps = [heap for heap in bench.heaps if heap.volleys]
    points = [figures_of(heap) for heap in heaps]
    return BenchView(
        id=run_id(begun.view.id, began_at),
        at=began_at,
        took=took_s,
        version=__version__,
        model=read_model(begun.view),
        machine=machine_of(probe),
        prompt=bench.points[0].prompt_tokens,
        generate=bench.points[0].answer_tokens,
        repeat=wish.repeat,
        points=points,
        predicted=predicted(begun.view, points),
        memory_measured=begun.view.memory.measured,
        own=own_of(heaps),
        notes=[*_notes(begun, points)],
        interrupted=interrupted,
    )


def own_of(heaps: Sequence[Heap]) -> OwnView:
    """What the bench itself took."""
    volleys = [volley for heap in heaps for volley in heap.volleys]
    cpu_s, wall_s = sum(v.cpu_s for v in volleys), sum(v.wall_s for v in volleys)
    return OwnView(cpu=cpu_s, wall=wall_s, share=cpu_s / wall_s if wall_s else 0.0)


def _notes(begun: Begun, points: Sequence[PointView]) -> Iterator[str]:
    bench = begun.bench
    if bench.others:
        met, who = (
            counted(len(bench.others), "request"),
            ", ".join(sorted({*bench.others.values()})),
        )
        yield f"{met} of others went on meanwhile ({who}): the figures are of both"
    yield from noise(begun.conditions, bench.looks)
    if not begun.is_exact:
        yield "the engine does not tell tokens one by one: prompts are about as long as asked"
    elif bench.prompter.inexact:
        inexact = counted(bench.prompter.inexact, "prompt")
        yield f"{inexact} could not be made exactly as long as asked"
    yield from notes_of_answers(points)


def notes_of_answers(points: Sequence[PointView]) -> Iterator[str]:
    """Say what of the answers makes figures mean something else than they seem to."""
    if failed := sum(point.failed for point in points):
        yield f"{counted(failed, 'request')} failed; the first one: " + next(
            point.error for point in points if point.error
        )
    short = [p for p in points if (p.generated_tokens or p.generate) < _EARLY * p.generate]
    if short:
        yield "answers ended before they were as long as asked: the engine heeds no ignore_eos"
    found = [(p.depth, p.cached_tokens) for p in points if p.warm and p.requests > p.failed]
    if any(cached is None for _, cached in found):
        yield "the engine does not tell what its cache had: prefill there is unknown"
    cold = [depth for depth, cached in found if cached is not None and cached < _CACHED * depth]
    if cold:
        depths = ", ".join(f"{depth:,}" for depth in cold)
        yield f"what filled the context was not found in the cache at depth {depths}: it was read anew"
    if any(_is_in_lumps(point) for point in points):
        yield "the engine sends several tokens at once: gaps are those between pieces"


def _is_in_lumps(point: PointView) -> bool:
    """Tell whether pieces are clearly fewer than tokens."""
    if point.token_gap is None or point.generated_tokens is None:
        return False
    tokens = (point.requests - point.failed) * (point.generated_tokens - 1)
    return point.token_gap.n < _LUMPED * tokens
