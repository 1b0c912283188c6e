"""Turns what is on this disk into the views that clients see. Text from a disk is made printable."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from localllm.api.store_views import CheckedView, LeftoverView, OnDiskView
from localllm.planning.fitting import Fitting
from localllm.store.inventory import OnDisk, printable
from localllm.store.leftovers import Leftover
from localllm.store.verifying import Checked


def render_model(model: OnDisk, fitting: Fitting, *, served: bool) -> OnDiskView:
    """Show one model."""
    return OnDiskView(
        name=model.name,
        quant=model.quant,
        format=model.format.value,
        size=model.size_bytes,
        where=model.where,
        path=printable(str(model.path)),
        repo=None if model.repo is None else printable(model.repo),
        commit=None if model.commit is None else printable(model.commit),
        last_used=model.last_used,
        verdict=None if fitting.verdict is None else fitting.verdict.value,
        reason=None if fitting.reason is None else printable(fitting.reason),
        served=served,
        missing=[printable(name) for name in model.missing],
    )


def render_leftover(leftover: Leftover) -> LeftoverView:
    """Show something that no model needs."""
    return LeftoverView(
        kind=leftover.kind,
        path=printable(str(leftover.path)),
        size=leftover.size_bytes,
        changed=leftover.changed,
        why=printable(leftover.why),
        in_use=leftover.in_use,
    )


def render_checked(model: OnDisk, checked: Checked, done: str | None) -> CheckedView:
    """Show what came of a file; `done`: what was done about it."""
    said = "; ".join(part for part in (checked.why, done) if part)
    return CheckedView(
        model=model.name,
        path=printable(str(checked.path)),
        size=checked.size_bytes,
        outcome=checked.outcome,
        why=printable(said) or None,
    )


def is_served(model: OnDisk, served: frozenset[Path]) -> bool:
    """Tell whether an engine has its weights open; a projector may be open for another's sake."""
    places: Iterable[Path] = (*model.files[: model.parts], model.path)
    return bool(served) and any(Path(os.path.realpath(place)) in served for place in places)
