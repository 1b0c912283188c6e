"""Draws the store for a terminal: what is here, what is left over, what came of tidying. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.api.pull_views import PullErrorView, PullView, ThenView
from localllm.api.store_views import (
    CheckedView,
    LeftoverView,
    OnDiskView,
    RemovedView,
    StoreView,
    VerifiedView,
)
from localllm.cli.tables import table
from localllm.units import duration
from localllm.wording.figures import DASH, counted, percent_of, rate, size_of
from localllm.wording.plain import plain
from localllm.wording.plans import verdict_of

_WHERE = {
    "huggingface": "Hugging Face",
    "lmstudio": "LM Studio",
    "ollama": "Ollama",
    "package": "package",
}
_KINDS = {
    "half": ("half file of a pull", "half files of pulls"),
    "incomplete": ("half file of another program", "half files of other programs"),
    "broken_link": ("broken link", "broken links"),
    "unreferenced": ("file that nothing refers to", "files that nothing refers to"),
    "quarantined": ("damaged file", "damaged files"),
}
_MINUTE_S, _HOUR_S, _DAY_S, _YEAR_S = 60, 3600, 86_400, 365 * 86_400


def render_store(store: StoreView, now: float, *, fit: bool) -> list[str]:
    """Draw the models, their sum, and what could be tidied up.

    Args:
        now: In Unix seconds.
        fit: Whether the models were planned.
    """
    lines = ["no model is on this disk; localllm pull MODEL fetches one"]
    if store.models:
        head = ["", "model", "quant", "size", "where", "last used", *(["now"] if fit else [])]
        lines = table([head, *(_row(model, now, fit=fit) for model in store.models)])
        lines += [
            f"  {plain(model.name)}: {_lacks(model)}" for model in store.models if model.missing
        ]
        lines += ["", _sum(store)]
    return [*lines, *_left(store.leftovers)]


def _row(model: OnDiskView, now: float, *, fit: bool) -> list[str]:
    cells = [
        "*" if model.served else "",
        plain(model.name),
        plain(model.quant or DASH),
        size_of(model.size),
        _WHERE[model.where],
        ago(model.last_used, now),
    ]
    if fit:
        cells.append("incomplete" if model.missing else verdict_of(model.verdict))
    return cells


def _lacks(model: OnDiskView) -> str:
    more = f" and {len(model.missing) - 1} more" if len(model.missing) > 1 else ""
    again = f"localllm pull {plain(model.name)}"
    return f"{plain(model.missing[0])}{more} is missing; {again} fetches what lacks"


def _sum(store: StoreView) -> str:
    total = sum(model.size for model in store.models)
    served = "; * is served" if any(model.served for model in store.models) else ""
    count = counted(len(store.models), "model", "models")
    return f"{count}, {size_of(total)}; {size_of(store.free)} free in {plain(store.cache)}{served}"


def _left(leftovers: Sequence[LeftoverView]) -> list[str]:
    free = [one for one in leftovers if not one.in_use]
    if not free:
        return []
    kinds = dict.fromkeys(one.kind for one in free)
    said = [counted(sum(o.kind == kind for o in free), *_KINDS[kind]) for kind in kinds]
    total = size_of(sum(one.size for one in free))
    return [f"left over: {', '.join(said)} ({total}); localllm gc removes what nobody needs"]


def ago(at: float | None, now: float) -> str:
    """Render when something was, in one unit."""
    if at is None:
        return "-"
    past_s = max(0.0, now - at)
    if past_s < _MINUTE_S:
        return "just now"
    if past_s < _HOUR_S:
        return f"{past_s // _MINUTE_S:.0f} min ago"
    if past_s < _DAY_S:
        return f"{past_s // _HOUR_S:.0f} h ago"
    if past_s < _YEAR_S:
        return f"{past_s // _DAY_S:.0f} d ago"
    return f"{past_s // _YEAR_S:.0f} y ago"


def render_removed(view: RemovedView, *, dry_run: bool = False) -> list[str]:
    """Draw what was removed, or would be, what that frees, and why something stays."""
    lines = [f"  {plain(one)}" for one in view.removed]
    if lines:
        lines.insert(0, "would be removed:" if dry_run else "removed:")
        lines.append(f"{'frees' if dry_run else 'freed'} {size_of(view.freed)}")
    else:
        lines.append("there is nothing to remove")
    return [*lines, *(f"kept: {plain(why)}" for why in view.kept)]


def render_verified(view: VerifiedView) -> list[str]:
    """Draw what is damaged and what nobody knows the hash of, and the sum."""
    if not view.files:
        return ["there is nothing to check"]
    damaged = [file for file in view.files if file.outcome == "damaged"]
    unknown = [file for file in view.files if file.outcome == "unknown"]
    lines = [f"damaged: {_checked(file)}" for file in damaged]
    lines += [f"not checked: {_checked(file)}" for file in unknown]
    good = [file for file in view.files if file.outcome == "good"]
    total = size_of(sum(file.size for file in good))
    lines.append(f"{counted(len(good), 'file is', 'files are')} what the hub has ({total})")
    if damaged:
        models = dict.fromkeys(plain(file.model) for file in damaged)
        lines.append(f"next: {', '.join(f'localllm pull {model}' for model in models)}")
    return lines


def _checked(file: CheckedView) -> str:
    why = f": {plain(file.why)}" if file.why else ""
    return f"{plain(file.path)} of {plain(file.model)}{why}"


def render_pulls(pulls: Sequence[PullView]) -> list[str]:
    """Draw the pulls that a daemon knows of."""
    if not pulls:
        return ["nothing is under way; localllm pull MODEL begins"]
    head = ["id", "model", "state", "here", "of", "speed", "left"]
    lines = table([head, *map(_pull, pulls)])
    lines += [f"  {plain(p.model)}: {plain(p.note)}" for p in pulls if p.note]
    lines += [f"  {plain(p.model)}: {_first_line(p.error)}" for p in pulls if p.error is not None]
    return lines + [
        f"  {plain(p.model)}: {said}"
        for p in pulls
        if p.then is not None and (said := _then(p.then)) is not None
    ]


def _then(then: ThenView) -> str | None:
    """What is still to come of what it is for; None: it is on its way."""
    if then.error is not None:
        return f"is not served: {_first_line(then.error)}"
    if then.reply is not None:
        return None
    return "is served once it is here" if then.how == "serve" else "is switched to once it is here"


def _first_line(error: PullErrorView) -> str:
    return plain(error.message.partition("\n")[0])


def _pull(pull: PullView) -> list[str]:
    return [
        pull.id,
        plain(pull.model),
        pull.state,
        percent_of(pull.here, pull.size),
        size_of(pull.size),
        rate(pull.speed),
        DASH if pull.left is None else duration(pull.left),
    ]
