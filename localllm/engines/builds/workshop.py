"""What builds are installed with: where they come from, where they go, what proves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from localllm.engines.builds.shelf import Shelf

Tell = Callable[[str, int, int], None]
"""Called with a file's name, the bytes that are here, and all its bytes."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where builds come from, and what they are proved with."""

    shelf: Shelf
    environment: Mapping[str, str]
    trial_model: Path
    mirror: str | None = None
    """Stands for the whole outside: `MIRROR/github.com/...` for https://github.com/..."""

    folder: Path | None = None
    """Where the files lie already, by their names; None: they are downloaded."""

    tell: Tell = lambda *_: None
    warn: Callable[[str], None] = lambda _: None
    """Called with what the user should know of a build that is passed over, or of a device."""

    tied: bool = False
    """An installer that is another program ends with this process, however that ends."""
