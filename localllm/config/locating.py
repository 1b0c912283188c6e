"""Where each key of a TOML text stands. Pure; the text is known to be TOML: tomllib has read it.

No TOML library of Python's tells places of what it has read: tomllib and tomlkit tell those of
errors alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Of keys, and of places in lists, from the top of the file."""

_PART = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)"""
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_PARTS = re.compile(_PART)
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\r\n]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Both counted from 1; columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Places:
    """Of all keys, and of their values; a table's place is the first that names it."""

    keys: Mapping[Path, Place] = field(default_factory=dict[Path, Place])
    values: Mapping[Path, Place] = field(default_factory=dict[Path, Place])

    def of_key(self, path: Path) -> Place | None:
        """Find a key, or else the nearest table around it."""
        while path:
            if path in self.keys:
                return self.keys[path]
            path = path[:-1]
        return None

    def of_value(self, path: Path) -> Place | None:
        """Find what is said for a key."""
        return self.values.get(path) or self.of_key(path)


def locate(text: str) -> Places:
    """Find every key of a valid TOML text, and every value."""
    reader = _Reader(text)
    reader.read()
    return Places(reader.keys, reader.values)


def place_at(text: str, at: int) -> Place:
    """Say in which line and column a character stands."""
    line_start = text.rfind("\n", 0, at) + 1
    return Place(text.count("\n", 0, at) + 1, at - line_start + 1)


class _Reader:
    """One pass through a text."""

    def __init__(self, text: str) -> None:
        self.keys: dict[Path, Place] = {}
        self.values: dict[Path, Place] = {}
        self._text = text
        self._at = 0
        self._counts: dict[Path, int] = {}
        """Of lists of tables, how many there have been."""

    def read(self) -> None:
        table: Path = ()
        self._skip()
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _skip(self) -> None:
        self._take(_BLANK)

    def _take(self, what: re.Pattern[str]) -> str:
        found = what.match(self._text, self._at)
        assert found is not None, f"TOML, at {place_at(self._text, self._at)}"
        self._at = found.end()
        return found[0]

    def _header(self) -> Path:
        is_list, at = self._text.startswith("[[", self._at), self._at
        self._at += 2 if is_list else 1
        self._skip()
        parts = _split(self._take(_KEY))
        self._skip()
        self._at += 2 if is_list else 1
        path: Path = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self._note(path, at)
            if is_list and number == len(parts):
                self._counts[path] = self._counts.get(path, 0) + 1
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
                self._note(path, at)
        return path

    def _pair(self, table: Path) -> None:
        at, path = self._at, table
        for part in _split(self._take(_KEY)):
            path = (*path, part)
            self._note(path, at)
        self._skip()
        self._at += 1  # the sign between a key and its value
        self._skip()
        self._value(path)

    def _note(self, path: Path, at: int) -> None:
        self.keys.setdefault(path, place_at(self._text, at))

    def _value(self, path: Path) -> None:
        self.values[path] = place_at(self._text, self._at)
        match self._text[self._at]:
            case "[":
                self._list(path)
            case "{":
                self._inline_table(path)
            case '"' | "'":
                self._take(_TEXT)
            case _:
                self._take(_BARE)

    def _list(self, path: Path) -> None:
        self._at += 1
        number = 0
        while self._more("]"):
            self._note((*path, number), self._at)
            self._value((*path, number))
            number += 1
        self._at += 1

    def _inline_table(self, path: Path) -> None:
        self._at += 1
        while self._more("}"):
            self._pair(path)
        self._at += 1

    def _more(self, end: str) -> bool:
        """Go past commas and blanks, and tell whether there is more before the end."""
        self._skip()
        while self._text.startswith(",", self._at):
            self._at += 1
            self._skip()
        return not self._text.startswith(end, self._at)


def _split(key: str) -> list[str]:
    """Cut a dotted key into its names, without their quotes."""
    return [_name(part) for part in _PARTS.findall(key)]


def _name(part: str) -> str:
    if part[0] not in "\"'":
        return part
    name: str = tomllib.loads(f"it = {part}")["it"]
    return name
