"""What passes from an engine to clients, as far as it shows whether the engine gets on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Flow:
    """Mutable; whoever passes an answer on counts in it."""

    moved: int = 0
    """Grows with all that is sent: an engine for which it stands still may hang."""

    blocked: int = 0
    """Requests whose client does not read what is there: none of the engine's fault."""
