"""Reads JSON with the place of everything in it: JSON, JSONC's comments, and JSON5's ease."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from localllm.agents.edits import Step, Value
from localllm.agents.errors import Malformed

MAX_DEPTH = 64
_TRIVIA = re.compile(r"(?:[\s\ufeff]+|//[^\n\r]*|/\*[\s\S]*?\*/)*")
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9A-Fa-f]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_DOUBLE = re.compile(r'"(?:[^"\\\n\r]|\\(?:\r\n|[\s\S]))*"')
_SINGLE = re.compile(r"'(?:[^'\\\n\r]|\\(?:\r\n|[\s\S]))*'")
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_ESCAPED = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|(\r\n|[\s\S]))")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_NEWLINES = {"\n", "\r", "\r\n"}


@dataclass(slots=True)
class Node:
    """One value and where it stands: `text[start:end]`."""

    start: int
    end: int = 0
    value: Value = None
    parts: list[Part] = field(default_factory=list)
    """Of a table or list; all of them, also those that a later key of the same name hides."""


@dataclass(slots=True)
class Part:
    """A member of a table, or an element of a list."""

    start: int
    """Of the key, or of the element."""

    key: str | None
    node: Node
    comma: int | None = None
    """Where the comma after it stands; None if there is none."""


def parse_nodes(text: str) -> Node | None:
    """Read a text whole; None for an empty one.

    Raises:
        Malformed: It is no JSON, however relaxed.
    """
    at = _skip(text, 0)
    if at == len(text):
        return None
    node = _node(text, at, 0)
    end = _skip(text, node.end)
    if end != len(text):
        raise _malformed(text, end, f"after the value stands {text[end]!r}")
    return node


def _skip(text: str, at: int) -> int:
    found = _TRIVIA.match(text, at)
    assert found is not None, "it matches nothing, too"
    if text.startswith("/*", found.end()):
        raise _malformed(text, found.end(), "a comment does not end")
    return found.end()


def _node(text: str, at: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _malformed(text, at, f"it is nested deeper than {MAX_DEPTH} levels")
    start = text[at : at + 1]
    if start in {"{", "["}:
        return _container(text, at, depth)
    if start in {'"', "'"}:
        end, value = _string(text, at)
        return Node(at, end, value)
    if (number := _NUMBER.match(text, at)) is not None:
        return Node(at, number.end(), _number(number[0]))
    word = _WORD.match(text, at)
    if word is None or word[0] not in _CONSTANTS:
        raise _malformed(text, at, f"{_shown(text, at)} is no value")
    return Node(at, word.end(), _CONSTANTS[word[0]])


def _container(text: str, start: int, depth: int) -> Node:
    is_table = text[start] == "{"
    close = "}" if is_table else "]"
    node, at = Node(start), _skip(text, start + 1)
    while text[at : at + 1] != close:
        if node.parts and node.parts[-1].comma is None:
            raise _malformed(text, at, f"expected a comma or {close!r}, found {_shown(text, at)}")
        part = _member(text, at, depth) if is_table else Part(at, None, _node(text, at, depth + 1))
        node.parts.append(part)
        at = _skip(text, part.node.end)
        if text[at : at + 1] == ",":
            part.comma = at
            at = _skip(text, at + 1)
    node.end = at + 1
    if is_table:
        node.value = {part.key: part.node.value for part in node.parts if part.key is not None}
    else:
        node.value = [part.node.value for part in node.parts]
    return node


def _member(text: str, at: int, depth: int) -> Part:
    if text[at : at + 1] in {'"', "'"}:
        end, key = _string(text, at)
    elif (word := _WORD.match(text, at)) is not None:
        end, key = word.end(), word[0]
    else:
        raise _malformed(text, at, f"expected a key, found {_shown(text, at)}")
    colon = _skip(text, end)
    if text[colon : colon + 1] != ":":
        raise _malformed(text, colon, f"expected a colon, found {_shown(text, colon)}")
    return Part(at, key, _node(text, _skip(text, colon + 1), depth + 1))


def _string(text: str, at: int) -> tuple[int, str]:
    found = (_DOUBLE if text[at] == '"' else _SINGLE).match(text, at)
    if found is None:
        raise _malformed(text, at, "a string does not end on its line")
    try:
        return found.end(), str(json.loads(found[0], strict=False))
    except ValueError:  # JSON5 quotes otherwise, and escapes more
        return found.end(), _ESCAPED.sub(_unescaped, found[0][1:-1])


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    if code:
        return chr(int(code, 16))
    return "" if escape[3] in _NEWLINES else _LETTERS.get(escape[3], escape[3])


def _number(text: str) -> int | float:
    try:
        return int(text, 16 if "x" in text.lower() else 10)
    except ValueError:
        return float(text)


def _shown(text: str, at: int) -> str:
    return repr(text[at : at + 12].partition("\n")[0]) if at < len(text) else "the end"


def _malformed(text: str, at: int, why: str) -> Malformed:
    before = text[:at]
    return Malformed(why, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)


def find_part(node: Node, step: Step) -> Part | None:
    """Find the part that counts: of two keys of one name the later."""
    if isinstance(step, str):
        return next((p for p in reversed(node.parts) if p.key == step), None)
    for part in node.parts:
        value = part.node.value
        if isinstance(value, dict) and value.get(step.key) == step.value:
            return part
    return None
