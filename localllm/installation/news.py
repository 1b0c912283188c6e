"""What another version brings, read out of its files before it is installed. Runs none of its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from localllm.catalog.builds import read_builds
from localllm.errors import LocalLLMError
from localllm.installation.method import NAME
from localllm.installation.rehearsal import Change, version_key

CHANGELOG = "_changelog.md"
"""In the package, where a wheel has put it."""

_HEADING = re.compile(r"^## v?(\d\S*)", re.MULTILINE)
_KIND, _PATTERN_AT, _VERSION_AT = "StateFile", 1, 3


def read_changes(package: Path, since: str, until: str) -> str:
    """Read what the changelog says of the versions after `since`, up to `until`; empty: nothing."""
    try:
        text = (package / CHANGELOG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    headings = [*_HEADING.finditer(text)]
    ends = [found.start() for found in headings[1:]] + [len(text)]
    new = [
        text[found.start() : end].strip()
        for found, end in zip(headings, ends, strict=False)
        if version_key(since) < version_key(found[1]) <= version_key(until)
    ]
    return "\n\n".join(new)


def engine_changes(now: Path, then: Path, config: Path) -> tuple[Change, ...]:
    """Compare which versions of engines two folders of profiles pin, of those that are in both or new."""
    try:
        before, after = _pinned(now, config), _pinned(then, config)
    except (LocalLLMError, OSError):  # of a format that this version does not know
        return ()
    return _changes(before, after)


def state_changes(now: Path, then: Path) -> tuple[Change, ...]:
    """Compare the versions of state files that two versions of the program write."""
    return _changes(_written(now), _written(then))


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    names = [name for name in sorted(after) if before.get(name) != after[name]]
    return tuple(Change(name, before.get(name), after[name]) for name in names)


def _pinned(profiles: Path, config: Path) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for build in read_builds(profiles, config):
        newest = found.get(build.engine)
        if newest is None or version_key(build.version) > version_key(newest):
            found[build.engine] = build.version
    return found


def _written(package: Path) -> Mapping[str, str]:
    """Read the table out of the source: `StateFile(place, pattern, what, version, ...)`."""
    try:
        tree = ast.parse((package / "state_files.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return dict(filter(None, map(_entry, calls)))


def _entry(call: ast.Call) -> tuple[str, str] | None:
    match call:
        case ast.Call(func=ast.Name(id=name), args=args) if name == _KIND:
            return _pair(args)
        case _:
            return None


def _pair(args: Sequence[ast.expr]) -> tuple[str, str] | None:
    match args[_PATTERN_AT : _VERSION_AT + 1]:
        case [ast.Constant(value=str(pattern)), _, ast.Constant(value=int(version))]:
            return pattern, str(version)
        case _:
            return None


def profiles_in(package: Path) -> Path:
    """Find the profiles that a wheel brings."""
    return package / "_profiles"


def package_in(folder: Path) -> Path:
    """Find the program in a folder that it was fetched into."""
    return folder / NAME
