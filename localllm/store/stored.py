"""One model on disk, and the names it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from localllm.formats.header import Format


@dataclass(frozen=True, slots=True)
class StoredModel:
    id: str
    """What clients send as `model`; one path segment."""

    file: Path
    """The file; the first part of a set; the folder, for safetensors."""

    file_bytes: int
    """Of all its parts."""

    repo: str | None
    """Where it came from, as in owner/name; None for a file of the user's own."""

    aliases: tuple[str, ...] = ()
    stand_in: bool = False
    """The embedded default, which the user did not choose."""

    projector: Path | None = None
    """What lets it see or hear; None where none was found beside it."""

    format: Format = Format.GGUF
    parts: int = 1
    """How many files its weights are in."""
