"""`record`: whether the shapes of requests are kept, and what was kept. Bytes, Unix seconds."""

from __future__ import annotations

from typing import Annotated

import msgspec

from localllm.api.views import View

MOST_MINUTES = 24 * 60


class RecordingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/recording`."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=MOST_MINUTES)] = 60.0
    client: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    """A pattern, as in claude*: of a program, a conversation, or a key's name; null: everybody."""

    prompts: bool = False
    """Keep what the prompts say, too."""


class RecordingView(View, frozen=True, kw_only=True):
    """The recording that is under way, or the last one."""

    file: str
    started: float
    ends: float
    left: float
    """Seconds until it ends by itself; 0 once it has ended."""

    client: str | None
    prompts: bool
    """Whether the prompts themselves are in it."""

    requests: int
    """That are in the file."""

    under_way: int
    """That are not yet, since they are not over."""

    bytes: int
    unmarked: int
    """In the file, but without what their prompts have in common with others."""

    left_out: int
    over: str | None
    """Why it has ended; null while it goes on."""


class TrafficView(View, frozen=True, kw_only=True):
    """A file of recorded traffic."""

    name: str
    file: str
    size: int
    started: float | None
    """Null where it cannot be read; `error` says why."""

    model: str | None
    requests: int | None
    minutes: float | None
    """From the first request to the last."""

    prompts: bool
    error: str | None


class TrafficsView(View, frozen=True, kw_only=True):
    folder: str
    size: int
    """Of all."""

    recordings: list[TrafficView]
    """The newest first."""


class TrafficRemovedView(View, frozen=True, kw_only=True):
    removed: list[str]
    freed: int
