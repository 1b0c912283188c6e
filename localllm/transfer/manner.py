"""How a file is fetched, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from localllm.transfer.pace import Pace

_CONNECTIONS = 6
_FREE_SOME = "free some space there, or let LOCALLLM_HOME name another disk"


def _nobody(_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Manner:
    """Of one file."""

    connections: int = _CONNECTIONS
    pace: Pace = field(default_factory=Pace)
    tell: Callable[[int], None] = _nobody
    """Called with the bytes that are here, whenever there are more."""

    note: Callable[[str | None], None] = _nobody
    """Called with what stands in the way, and with None once it does not."""

    head: bytes = b""
    """The file's first bytes, where they are here already; the hash judges them with the rest."""

    if_full: str = _FREE_SOME
    """What to do if the disk is too full."""
