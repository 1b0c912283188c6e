"""`requests`: who asks for what, and how far it is; and the capture of what one client sends."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from localllm.api.parting_views import PartingView
from localllm.api.views import View

Phase = Literal["waiting", "prefill", "generating", "done", "failed", "cancelled"]


class RequestView(View, frozen=True, kw_only=True):
    """One request. Times are seconds from its arrival on."""

    id: str
    api: Literal[
        "chat", "completions", "responses", "messages", "embeddings", "rerank", "count_tokens"
    ]
    asked: str | None
    """The model as the client named it."""

    model: str | None
    """Who answers; null until that is known."""

    instance: str | None
    engine: str | None
    client: str
    """The program, as in claude-cli/2.1.330."""

    conversation: str | None
    key: str | None
    """The API key's name."""

    stream: bool
    began_at: float
    """Unix seconds."""

    phase: Phase
    elapsed: float
    """Until now, or its end."""

    wait: float | None
    """Until an engine had it."""

    prompt_tokens: int | None
    cached_tokens: int | None
    prompt_read: int | None
    """Tokens of the prompt so far, cached ones among them."""

    generated_tokens: int
    reasoning_tokens: int | None
    first_token: float | None
    decode_tps: float | None
    """After its first token."""

    longest_gap: float
    """Between two pieces of its answer."""

    status: int | None
    error: str | None
    """The error's code."""

    prefix_broken: bool
    """Whether its prompt parts in its middle from one that is the same but for a little."""


class RequestDetailView(RequestView, frozen=True, kw_only=True):
    """What `GET /api/v1/requests/{request}` answers. It may show a few words of the prompt."""

    removed: list[str]
    """What was taken out of its prompt, by name."""

    parting: PartingView | None
    """Where its prompt parts from the one before; null: it goes on from it, or is another one."""


class RequestsListView(View, frozen=True, kw_only=True):
    """What `GET /api/v1/requests` answers."""

    live: list[RequestView]
    """The oldest first."""

    recent: list[RequestView]
    """Those that are over, the newest first."""

    changes: int
    """Grows with whatever begins, gets on to another phase, or ends."""


class CaptureRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/v1/capture`."""

    client: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    """A pattern, as in claude*: of a program, a conversation, or a key's name."""

    minutes: Annotated[float, msgspec.Meta(gt=0, le=120)] = 10.0
    redact_text: bool = False
    """Put lengths in the place of texts."""


class CaptureView(View, frozen=True, kw_only=True):
    client: str
    folder: str
    redact_text: bool
    ends_at: float
    """Unix seconds."""

    requests: int
    bytes: int
    left_out: int
    """Requests that came faster than they could be written."""

    over: str | None
    """Why it has ended; null while it goes on."""
