"""Edits JSON in place, comments and all: only the characters change that have to change.

Written here because no library that we found edits JSON with comments in the text: those that keep
comments write the whole file anew, or bring a JavaScript engine along.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

from localllm.agents.edits import ABSENT, Found, Step, Value, nested
from localllm.agents.json_nodes import Node, Part, find_part, parse_nodes

_Edges: TypeAlias = tuple[int, int]


def parse(text: str) -> Found:
    """Read what a text says; ABSENT for an empty one.

    Raises:
        Malformed: It is no JSON, however relaxed.
    """
    root = parse_nodes(text)
    return ABSENT if root is None else root.value


def put(text: str, path: Sequence[Step], value: Value) -> str:
    """Put a value where a path leads; what is on the way and is not there is made."""
    root = parse_nodes(text)
    if root is None:  # at most a comment, which may lack the end of its line
        gap = "\n" if text and not text.endswith("\n") else ""
        return text + gap + _rendered(nested(path, value), "", "  ") + "\n"
    unit, node = _indentation(text), root
    for depth, step in enumerate(path):
        if node.value is None:
            value = nested(path[depth:], value)
            break
        part = find_part(node, step)
        if part is None:
            return _inserted(text, node, step, nested(path[depth + 1 :], value), unit)
        node = part.node
    indent = unit if "\n" in text[root.start : root.end] else None
    new = _rendered(value, _line_indent(text, node.start), indent)
    return text[: node.start] + _with_newlines_of(text, new) + text[node.end :]


def take(text: str, path: Sequence[Step]) -> str:
    """Take away what a path leads to, and its comma."""
    node = parse_nodes(text)
    assert node is not None, "the path leads somewhere"
    for step in path[:-1]:
        part = find_part(node, step)
        assert part is not None, "the path leads somewhere"
        node = part.node
    part = find_part(node, path[-1])
    assert part is not None, "the path leads somewhere"
    return _removed(text, node, part)


def _inserted(text: str, node: Node, step: Step, value: Value, unit: str) -> str:
    inside = text[node.start : node.end]
    outer = _line_indent(text, node.start)
    lines = "\n" in inside or not node.parts
    indent = _part_indent(text, node, outer + unit)
    key = f"{json.dumps(step, ensure_ascii=False)}: " if isinstance(step, str) else ""
    new = key + _rendered(value, indent, unit if lines else None)
    last = node.parts[-1] if node.parts else None
    trailing = last is not None and last.comma is not None
    end = node.start + len(inside[:-1].rstrip())  # after the last part, or the last comment
    tail = ("," if trailing else "") + (text[end : node.end - 1] if not lines else f"\n{outer}")
    added = f"\n{indent}{new}{tail}" if lines else f" {new}{tail}"
    head = text[:end]
    if last is not None and not trailing:
        head = text[: last.node.end] + "," + text[last.node.end : end]
    return head + _with_newlines_of(text, added) + text[node.end - 1 :]


def _removed(text: str, node: Node, part: Part) -> str:
    """Cut a part, its comma, and the line it stood on if nothing else stands there."""
    at = node.parts.index(part)
    before = node.parts[at - 1] if at else None
    start, end = part.start, part.node.end
    if part.comma is not None:
        text = text[:end] + text[end : part.comma] + text[part.comma + 1 :]
    start, end = _whole_line(text, start, end)
    text = text[:start] + text[end:]
    if part.comma is None and before is not None and before.comma is not None:
        text = text[: before.comma] + text[before.comma + 1 :]
    alone = len(node.parts) == 1
    return _closed_up(text, node.start) if alone else text


def _whole_line(text: str, start: int, end: int) -> _Edges:
    """Widen to the break before it, where it stands alone; else to the blanks before it."""
    line_start = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    rest = re.compile(r"[ \t]*(?=\r|\n|\Z)").match(text, end)
    if text[line_start:start].strip() or rest is None:
        blanks = len(text[:start]) - len(text[:start].rstrip(" \t"))
        return (start - blanks, end) if text[:start].rstrip(" \t")[-1:] == "," else (start, end)
    before = line_start - 1
    return (before - (text[before - 1 : before + 1] == "\r\n")), rest.end()


def _closed_up(text: str, start: int) -> str:
    """Close an empty table or list, unless a comment stands in it."""
    end = re.compile(r"\s*").match(text, start + 1)
    assert end is not None, "it matches nothing, too"
    closes = text[end.end()] in {"}", "]"}
    return text[: start + 1] + text[end.end() :] if closes else text


def _indentation(text: str) -> str:
    """What a level of the text is indented by: the first line that is indented tells."""
    found = re.search(r"^[ \t]+(?=[^\s/*])", text, re.MULTILINE)
    return "  " if found is None else found[0]


def _line_indent(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    found = re.compile(r"[ \t]*").match(text, start)
    return "" if found is None else found[0]


def _part_indent(text: str, node: Node, otherwise: str) -> str:
    """How far in the parts of a table stand: as the last that begins a line does."""
    for part in reversed(node.parts):
        start = text.rfind("\n", 0, part.start) + 1
        if start > node.start and not text[start : part.start].strip():
            return text[start : part.start]
    return otherwise


def _rendered(value: Value, outer: str, unit: str | None) -> str:
    """Write a value out; `unit` None puts it on one line."""
    text = json.dumps(value, ensure_ascii=False, indent=unit)
    return text.replace("\n", f"\n{outer}")


def _with_newlines_of(text: str, new: str) -> str:
    return new.replace("\n", "\r\n") if "\r\n" in text else new
