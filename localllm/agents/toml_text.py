"""Edits TOML and keeps comments and order: the one door to tomlkit, which is loaded when needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from localllm.agents.edits import (
    ABSENT,
    Element,
    Found,
    Step,
    Value,
    child,
    nested,
    node_at,
    position,
    put_element,
)
from localllm.agents.errors import Malformed


def parse(text: str) -> Found:
    """Read what a text says; ABSENT for an empty one.

    Raises:
        Malformed: It is no TOML.
    """
    return _document(text).unwrap() if text.strip() else ABSENT


def put(text: str, path: Sequence[Step], value: Value) -> str:
    """Put a value where a path leads; what is on the way and is not there is made."""
    document: Any = _document(text)
    node = document
    for depth, step in enumerate(path):
        last = depth + 1 == len(path)
        if not last and child(_plain(node), step) is not ABSENT:
            node = node_at(node, step)
            continue
        _set(node, step, nested(path[depth + 1 :], value))
        break
    return _tidy(text, tomlkit.dumps(document))


def take(text: str, path: Sequence[Step]) -> str:
    """Take away what a path leads to."""
    document: Any = _document(text)
    node = document
    for step in path[:-1]:
        node = node_at(node, step)
    last = path[-1]
    del node[last if isinstance(last, str) else position(node, last)]
    return _tidy(text, tomlkit.dumps(document))


def _document(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except ParseError as error:
        why = re.sub(r" at line \d+ col \d+\Z", "", str(error))
        raise Malformed(why, error.line, error.col + 1) from error


def _plain(node: Any) -> Value:  # noqa: ANN401  # tomlkit has a type for each kind
    plain: Value = node.unwrap()
    return plain


def _set(node: Any, step: Step, value: Value) -> None:  # noqa: ANN401  # likewise
    if isinstance(step, Element):
        put_element(node, step, value)
    elif step in node or not isinstance(value, dict):
        node[step] = value
    else:
        node.append(step, _table(value))


def _table(value: dict[str, Value]) -> Any:  # noqa: ANN401  # likewise
    """A table with a header of its own, unless all that is in it are tables."""
    table = tomlkit.table(is_super_table=all(isinstance(v, dict) for v in value.values()))
    for key, inner in value.items():
        table.append(key, _table(inner) if isinstance(inner, dict) else inner)
    table.add(tomlkit.nl())
    return table


def _tidy(text: str, new: str) -> str:
    """End as the text ended, in lines as it has: with no more than one empty line."""
    if new.strip() and not text.endswith(("\n\n", "\n\r\n")):
        new = new.rstrip("\r\n") + "\n"
    return re.sub(r"\r?\n", "\r\n", new) if "\r\n" in text else new
