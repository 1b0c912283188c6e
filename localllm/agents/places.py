"""Where an agent's files are on this machine. Pure: the environment and the home are arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.agents.profile import SettingsFile

_VARIABLE = re.compile(r"\$([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Who asks: whose home it is, and what is set there."""

    home: Path
    environment: Mapping[str, str]
    macos: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where one settings file may be."""

    root: Path
    names: tuple[str, ...]
    led_by: str | None
    """The variable that moved it from where it is by default; None if none did."""

    @property
    def candidates(self) -> tuple[Path, ...]:
        return tuple(self.root / name for name in self.names)


def place_of(file: SettingsFile, where: Whereabouts) -> Place:
    """Find a file's folder, its possible names, and who says so."""
    own = where.environment.get(file.variable or "")
    if file.variable is not None and own:
        path = Path(own).expanduser()
        return Place(path.parent, (path.name,), file.variable)
    roots = file.roots_macos if where.macos and file.roots_macos else file.roots
    root, led_by = _first_root(roots, where)
    return Place(root, file.names, led_by)


def _first_root(roots: Sequence[str], where: Whereabouts) -> tuple[Path, str | None]:
    for root in roots:
        names = _VARIABLE.findall(root)
        if all(where.environment.get(name) for name in names):
            text = _VARIABLE.sub(lambda name: where.environment[name[1]], root)
            return _expanded(text, where.home), names[0] if names else None
    raise AssertionError("the last root of a profile names no variable")


def _expanded(text: str, home: Path) -> Path:
    return home / text.removeprefix("~").lstrip("/") if text.startswith("~") else Path(text)
