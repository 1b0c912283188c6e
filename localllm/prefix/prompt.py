"""What of a request's prompt counts for where it goes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from localllm.prefix.outline import Outline


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's."""

    outline: Outline
    path: str
    """Of the engine's endpoint that it is sent to."""

    body: bytes = field(repr=False)
    conversation: str | None = None
    """As its client names it."""

    is_passing: bool = False
    """Nobody will go on from it, so it is not kept on disk."""
