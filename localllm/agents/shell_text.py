"""Edits a shell script: our lines stand together between two marks, the rest is not looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from localllm.agents.edits import ABSENT, Found, Step, Value

_BLOCK = re.compile(
    r"^# >>> (?P<name>[\w-]+) >>>[^\n]*\n(?P<lines>(?:(?!# >>> )[^\n]*\n)*?)# <<< (?P=name) <<<[^\n]*(?:\n|\Z)",
    re.MULTILINE,
)


def parse(text: str) -> Found:
    """Read the marked blocks, by name; ABSENT for an empty text."""
    if not text.strip():
        return ABSENT
    return {block["name"]: block["lines"].rstrip("\r\n") for block in _BLOCK.finditer(text)}


def put(text: str, path: Sequence[Step], value: Value) -> str:
    """Put lines into the block of that name; a new one goes to the end, where it has the last word."""
    (name,) = path
    block = f"# >>> {name} >>> written by `localllm connect`\n{value}\n# <<< {name} <<<\n"
    found = _block(text, name)
    if found is not None:
        return text[: found.start()] + block + text[found.end() :]
    gap = "" if not text or text.endswith("\n") else "\n"
    return text + gap + block


def take(text: str, path: Sequence[Step]) -> str:
    """Take the block of that name away."""
    found = _block(text, path[0])
    assert found is not None, "the path leads somewhere"
    return text[: found.start()] + text[found.end() :]


def _block(text: str, name: Step) -> re.Match[str] | None:
    return next((found for found in _BLOCK.finditer(text) if found["name"] == name), None)
