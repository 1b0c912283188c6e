"""Pulls: what is asked for, and how far each has come. Bytes, seconds, bytes per second."""

from __future__ import annotations

from typing import Literal

from localllm.api.views import ServeReply, ServeRequest, View

PullState = Literal["queued", "fetching", "paused", "done", "failed", "cancelled"]
ThenHow = Literal["serve", "switch"]
"""serve: beside what is served; switch: in its place."""


class PullRequest(ServeRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/pulls`: a model, and what its quantization is chosen by."""

    anyway: bool = False
    """Bring it also if it does not fit this machine."""

    then: ThenHow | None = None
    """What is done with it once it is here, as the rest of this body says; the daemon sees to it,
    whoever asked may go. Null: nothing more than was asked for before."""

    get_engine: bool = False
    """Beside `then`: fetch an engine first, since none that is here can serve it. For who has been
    told so (`engine_needed`), and has agreed to the first that could be, of `GET /api/v1/engines`."""


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


class EngineFetchView(View, frozen=True, kw_only=True):
    """How far the engine is that a model waits for."""

    file: str
    here: int
    size: int


class ThenView(View, frozen=True, kw_only=True):
    """What a pull is for."""

    how: ThenHow
    request: ServeRequest
    reply: ServeReply | None
    """Where the start can be watched; null until it is begun, which is when all is here."""

    error: PullErrorView | None
    """Why it is not served though it is here."""

    engine: EngineFetchView | None = None
    """That is being fetched for it; null: none is, or none of its files has begun."""


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

    then: ThenView | None = None
    """What is done once it is here; null: nothing, or something else was asked for since."""
