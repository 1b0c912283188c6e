"""Pulls: what is asked for, and how far each has come. Bytes, seconds, bytes per second."""

from __future__ import annotations

from typing import Literal

from localllm.api.views import ServeRequest, View

PullState = Literal["queued", "fetching", "paused", "done", "failed", "cancelled"]


class PullRequest(ServeRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/pulls`: a model, and what its quantization is chosen by."""

    anyway: bool = False
    """Bring it also if it does not fit this machine."""


class PulledFileView(View, frozen=True, kw_only=True):
    path: str
    size: int
    here: int
    state: Literal["waiting", "elsewhere", "fetching", "checking", "done"]
    """elsewhere: another program is fetching it."""


class PullErrorView(View, frozen=True, kw_only=True):
    message: str
    """What, why and fix, each on its line."""

    code: str


class PullView(View, frozen=True, kw_only=True):
    id: str
    model: str
    """What serves it by, once it is here."""

    repo: str | None
    """Null where nothing was to be fetched: it was here."""

    commit: str | None
    quant: str | None
    state: PullState
    size: int
    here: int
    speed: float | None
    """Over the last seconds; null while nothing comes."""

    left: float | None
    """Seconds to the end at this speed."""

    note: str | None
    """What stands in the way for now."""

    files: list[PulledFileView]
    error: PullErrorView | None
    reason: str
    """Why this quantization, and what it will take."""
