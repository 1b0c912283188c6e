"""What an installer says that it would change. Pure: its words in, changes out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_LINE = re.compile(r"^ (?P<sign>[-+~]) (?P<name>[\w.-]+)==(?P<version>\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """Of one thing that has versions."""

    name: str
    before: str | None
    """None: it was not there."""

    after: str | None
    """None: it is not there any more."""


def parse_uv(said: str) -> tuple[Change, ...]:
    """Read the lines of `uv pip install --dry-run`, as in ` + anyio==4.9.0`."""
    gone, new = dict[str, str](), dict[str, str]()
    for found in _LINE.finditer(said):
        (gone if found["sign"] == "-" else new)[found["name"]] = found["version"]
    names = sorted({*gone, *new})
    return tuple(Change(name, gone.get(name), new.get(name)) for name in names)


def parse_pip(report: str, here: Mapping[str, str]) -> tuple[Change, ...]:
    """Read the report of `pip install --dry-run --report -`.

    Args:
        here: What is installed now: versions by name, as `plain_name` writes names.

    Raises:
        ValueError: It is no such report.
    """
    match json.loads(report):
        case {"install": list(installs)}:
            new = [(one["metadata"]["name"], one["metadata"]["version"]) for one in installs]
        case _:
            raise ValueError("there is no list of installs in it")
    return tuple(Change(plain_name(n), here.get(plain_name(n)), v) for n, v in sorted(new))


def plain_name(name: str) -> str:
    """Write a package's name as all do who compare names. Source: PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_key(version: str) -> tuple[tuple[int, ...], bool]:
    """Order versions: by their numbers, one that is not final before the final one of the same."""
    found = re.match(r"v?(\d+(?:\.\d+)*)(.*)", version)
    if found is None:
        return (), False
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), not re.match(r"[._-]?(a|b|rc|dev|alpha|beta|pre)", found[2])
