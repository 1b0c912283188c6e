"""Where prompts part from the ones before them. Tokens, Unix seconds."""

from __future__ import annotations

from typing import Literal

from localllm.api.views import View


class PartingView(View, frozen=True, kw_only=True):
    """One prompt that is as the one before but for a little, in its middle."""

    part: str
    """As in tools, and message 3 (user); messages are counted from 1."""

    offset: int
    """In bytes of the prompt as it was sent."""

    token: int | None
    """About that of the place; null until the engine has counted a prompt like it."""

    is_exact: bool
    """Whether the engine's own cache says where it is."""

    kind: Literal["date", "time", "id", "counter", "order", "text"]
    """What has changed."""

    before: str
    now: str
    """What was there and what is, on one line with a few words around it. Both are the prompt's."""

    again: int | None
    """Tokens behind the place that are the same, and were read again."""

    says: str
    """All that in one sentence."""

    fix: str


class BreakView(View, frozen=True, kw_only=True):
    """A place where a program's prompts part."""

    times: int
    last: float
    request: str
    """The last one's id."""

    model: str
    again: int
    """Tokens, all times together."""

    parting: PartingView
    """The last one's."""


class ProgramView(View, frozen=True, kw_only=True):
    """What was seen of one program's chats; those of few tokens do not count."""

    program: str
    """Without its version."""

    requests: int
    prompt_tokens: int
    """Of those requests whose engine tells what was cached."""

    cached_tokens: int
    breaks: int
    """Requests whose prefix was broken."""

    headers_removed: int
    """Requests out of which a line was taken that would have broken it."""

    places: list[BreakView]
    """Where it was broken last, the newest first."""


class PartingsView(View, frozen=True, kw_only=True):
    """What `GET /api/v1/prefix/partings` answers: since the daemon was started."""

    programs: list[ProgramView]
    """The one seen last comes first."""
