"""What of recorded traffic is sent, when, and what is to be said of it beforehand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.api.traffic_file import Shape, Traffic
from localllm.wording.figures import count_of, counted

WRITING = frozenset({"chat", "completions", "responses", "messages"})
"""APIs whose answers are written token by token."""

_MS = 1000.0
_FEW = 3
_MOST_TOKENS = 1 << 24
"""Of a request to a model whose context nobody knows; what a file says may be anything."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the traffic is sent to.

    Args:
        context: Tokens that one request may have there; None: nobody knows.
    """

    model: str
    context: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a replay."""

    shape: Shape
    at_s: float
    """When it is due after the first one, at the recorded pace."""

    before: int | None
    """The request of its conversation that was over when it came: it waits for that one, where turns
    wait."""

    pause_s: float
    """Between the end of that one and this one's arrival."""


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    turns: Sequence[Turn]
    notes: Sequence[str]
    """What is not as it was recorded, and what is done about it."""

    left_out: int


def plan_replay(traffic: Traffic, served: Served) -> ReplayPlan:
    """Choose what is sent, and say what does not fit."""
    fitting = [shape for shape in traffic.shapes if _why_not(shape, served) is None]
    reasons = [why for shape in traffic.shapes if (why := _why_not(shape, served)) is not None]
    notes = [*_of_file(traffic, served), *_of_left_out(reasons), *_of_sent(fitting)]
    return ReplayPlan(_turns(fitting), notes, len(reasons))


def _why_not(shape: Shape, served: Served) -> str | None:
    """Say why a request is left out; None: it is sent."""
    if shape.api not in WRITING:
        return f"of {shape.api}, which writes nothing"
    if not shape.input_length:
        return "whose prompt no engine has read"
    needed = shape.input_length + max(1, shape.output_length)
    if needed > _MOST_TOKENS:
        return f"longer than {count_of(_MOST_TOKENS)} tokens"
    if served.context is not None and needed > served.context:
        return f"longer than {served.model}'s context of {count_of(served.context)} tokens"
    return None


def _turns(shapes: Sequence[Shape]) -> Sequence[Turn]:
    first = shapes[0].timestamp if shapes else 0.0
    known = {shape.id: shape for shape in shapes}
    last: dict[int, Shape] = {}
    turns = []
    for shape in shapes:
        before = _before(shape, known, last)
        pause_ms = 0.0 if before is None else max(0.0, shape.timestamp - _ended_ms(before))
        at_s = (shape.timestamp - first) / _MS
        turns.append(Turn(shape, at_s, None if before is None else before.id, pause_ms / _MS))
        if shape.conversation is not None:
            last[shape.conversation] = shape
    return turns


def _before(shape: Shape, known: dict[int, Shape], last: dict[int, Shape]) -> Shape | None:
    earlier = known.get(shape.goes_on_from) if shape.goes_on_from is not None else None
    if earlier is None and shape.conversation is not None:
        earlier = last.get(shape.conversation)
    if earlier is None or _ended_ms(earlier) > shape.timestamp:
        return None
    return earlier


def _ended_ms(shape: Shape) -> float:
    return shape.timestamp + (shape.total_ms or 0.0)


def _of_file(traffic: Traffic, served: Served) -> list[str]:
    header, notes = traffic.header, list[str]()
    others = [s for s in traffic.shapes if s.model is not None and s.model != served.model]
    if others:
        names = sorted({shape.model or "" for shape in others})
        few = ", ".join([*names[:_FEW], *(["…"] if len(names) > _FEW else [])])
        what = counted(len(others), "request")
        notes.append(
            f"{what} of {few} sent to {served.model}: as many tokens, which are other texts"
        )
    contexts = (header.context, served.context)
    if None not in contexts and contexts[0] != contexts[1]:
        notes.append(
            f"recorded with a context of {count_of(header.context)} tokens, "
            f"{count_of(served.context)} now: prompts may stay in the cache for longer or shorter"
        )
    if traffic.is_torn:
        notes.append("the file's last line is not whole, and left out")
    return notes


def _of_left_out(reasons: Sequence[str]) -> list[str]:
    return [
        f"left out: {counted(reasons.count(why), 'request')} {why}" for why in sorted(set(reasons))
    ]


def _of_sent(shapes: Sequence[Shape]) -> list[str]:
    notes = []
    if unmarked := [s for s in shapes if s.hash_ids is None and s.body is None]:
        what = counted(len(unmarked), "request")
        notes.append(f"of {what} the cache structure is not known: nothing of them is in the cache")
    if gone := [s for s in shapes if s.ended == "cancelled"]:
        what = counted(len(gone), "request")
        were = "was" if len(gone) == 1 else "were"
        notes.append(f"{what} {were} cancelled: an answer ends where its client left")
    if with_prompts := [s for s in shapes if s.body is not None]:
        what = counted(len(with_prompts), "request")
        notes.append(
            f"{what} sent as recorded: what another pass or replay sent may be in the cache"
        )
    return notes
