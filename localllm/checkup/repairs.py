"""What `doctor --fix` may do: a few small things, to our own files and processes alone. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SetMode:
    """Take rights to one of our files, or to one of our folders, from others."""

    path: Path
    mode: int


@dataclass(frozen=True, slots=True)
class RemoveLeftovers:
    """Remove what a daemon that died left in its state folder. Only while none holds its lock."""

    state: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class EndStrays:
    """End engines of a daemon that is dead. Only while none holds the state folder's lock."""

    state: Path


@dataclass(frozen=True, slots=True)
class CutLog:
    """Cut one of our logs that has grown, and keep its end beside it."""

    path: Path


@dataclass(frozen=True, slots=True)
class RenewService:
    """Write the service's file as this version writes it."""


Repair = SetMode | RemoveLeftovers | EndStrays | CutLog | RenewService


def render_repair(repair: Repair) -> str:
    """Say what would be done, in a few words."""
    match repair:
        case SetMode(path, mode):
            return f"chmod {mode:o} {path}"
        case RemoveLeftovers(_, files):
            return "remove " + ", ".join(map(str, files))
        case EndStrays():
            return "end the engines that no daemon looks after"
        case CutLog(path):
            return f"cut {path}, and keep its end in {path.name}.1"
        case RenewService():
            return "write the service's file anew, and if it runs drain it and start it again"
