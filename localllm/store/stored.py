"""One model file on disk, and the names it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredModel:
    id: str
    """What clients send as `model`; one path segment."""

    file: Path
    file_bytes: int
    repo: str | None
    """Where it came from, as in owner/name; None for a file of the user's own."""

    aliases: tuple[str, ...] = ()
    stand_in: bool = False
    """The embedded default, which the user did not choose."""
