"""`doctor`: what was looked at, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from localllm.api.views import View

SeverityName = Literal["ok", "note", "warning", "problem"]


class FindingView(View, frozen=True, kw_only=True):
    id: str
    """Stable: an area's word and the fact's, as in disk.read-only; two may share one."""

    area: str
    severity: SeverityName
    what: str
    why: str | None
    fix: str | None
    """A command, to be copied as it is; null where there is none."""

    repair: str | None
    """What `--fix` does about it; null: nothing."""


class RepairedView(View, frozen=True, kw_only=True):
    id: str
    what: str
    did: str | None
    """null: nothing, and `error` says why."""

    error: str | None


class CheckupView(View, frozen=True, kw_only=True):
    version: str
    took: float
    worst: SeverityName
    counts: dict[str, int]
    """By severity."""

    findings: list[FindingView]
    """The worst first."""

    repaired: list[RepairedView] = msgspec.field(default_factory=list[RepairedView])
    """With `--fix`: what was done; `findings` are those from after that."""

    bundle: str | None = None
    """With `--bundle`: the archive's path."""
