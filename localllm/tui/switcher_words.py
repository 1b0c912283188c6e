"""What the switcher says of a switch, and what it asks before it does something. Pure."""

from __future__ import annotations

from localllm.api.status_views import InstanceView
from localllm.tui import choosing as c
from localllm.tui.switch_steps import Progress, Step, of_pull
from localllm.tui.switching import OfInstance, OfPull
from localllm.tui.under_way import UnderWay
from localllm.wording.figures import counted
from localllm.wording.plain import plain


def is_over(progress: Progress | None) -> bool:
    """Whether nothing more happens."""
    return progress is not None and (progress.failed is not None or progress.at is Step.READY)


def hint_of(progress: Progress) -> str:
    """Say which keys lead on."""
    if progress.offer is not None:
        return "enter: fetch the engine, and go on    escape: back to the list"
    if progress.failed is not None:
        return "enter or escape: back to the list"
    if progress.at is Step.READY:
        return "enter or escape: back to the screen"
    return "escape: leave it going on in the background    s: choose another"


def first_of(found: UnderWay) -> Progress:
    """What is known of it before the first look."""
    match found.order:
        case OfPull(pull):
            return of_pull(pull)
        case OfInstance():
            return Progress(Step.LOAD)


def is_too_big(row: c.Row) -> bool:
    """Whether it is known not to fit."""
    is_known = not row.is_stale and not row.is_unknown and row.trouble is None
    return is_known and row.shown.verdict == "too_big"


def unloading_question(served: InstanceView) -> str | None:
    """What to ask before it is taken out of memory; None: nobody minds."""
    active, why = served.requests.active, []
    if active:
        why.append(f"answers {counted(active, 'request')}")
    if served.pinned:
        why.append("is pinned")
    return (
        f"{plain(served.id)} {' and '.join(why)}.\nu again: unload it; what it answers is finished first"
        if why
        else None
    )
