"""Edits YAML and keeps comments and order: the one door to ruamel.yaml, loaded when needed."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

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

_INDENTS = ((2, 2, 0), (2, 4, 2), (4, 4, 2), (4, 2, 0), (4, 6, 4))
"""Of a table, of a list, and of the dash in it."""

_WIDE = 1 << 20
"""Columns: no line of the user's is broken anew."""


def parse(text: str) -> Found:
    """Read what a text says; ABSENT for an empty one.

    Raises:
        Malformed: It is no YAML, or it is several documents.
    """
    plain = _load(YAML(typ="safe", pure=True), text)
    return ABSENT if plain is None else _value(plain)


def put(text: str, path: Sequence[Step], value: Value) -> str:
    """Put a value where a path leads; what is on the way and is not there is made."""
    writer = _writer_like(text)
    document = _load(writer, text)
    if document is None:
        return text + _dumped(writer, nested(path, value))
    node = document
    for depth, step in enumerate(path):
        last = depth + 1 == len(path)
        if not last and child(node, step) not in (ABSENT, None):
            node = node_at(node, step)
            continue
        _set(node, step, nested(path[depth + 1 :], value))
        break
    return _with_newlines_of(text, _dumped(writer, document))


def take(text: str, path: Sequence[Step]) -> str:
    """Take away what a path leads to."""
    writer = _writer_like(text)
    document = _load(writer, text)
    node = document
    for step in path[:-1]:
        node = node_at(node, step)
    last = path[-1]
    del node[last if isinstance(last, str) else position(node, last)]
    return _with_newlines_of(text, _dumped(writer, document))


def _writer_like(text: str) -> YAML:
    """Find the indentation in which the text, written again unchanged, stays as it is."""
    for writer in _writers():
        if _dumped(writer, _load(writer, text)) == text.replace("\r\n", "\n"):
            return writer
    return next(_writers())


def _writers() -> Iterator[YAML]:
    for mapping, sequence, offset in _INDENTS:
        writer = YAML(typ="rt", pure=True)
        writer.preserve_quotes = True
        writer.width = _WIDE
        writer.indent(mapping=mapping, sequence=sequence, offset=offset)
        yield writer


def _load(reader: YAML, text: str) -> Any:  # noqa: ANN401  # a file may hold anything
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (None, None) if mark is None else (mark.line + 1, mark.column + 1)
        raise Malformed(str(error.problem or error.context), line, column) from error
    except (YAMLError, ValueError) as error:
        raise Malformed(str(error)) from error


def _dumped(writer: YAML, document: object) -> str:
    stream = io.StringIO()
    if document is not None:
        writer.dump(document, stream)
    return stream.getvalue()


def _value(node: Any) -> Value:  # noqa: ANN401  # likewise
    """Make keys words, as JSON has them; dates stay what they are."""
    if isinstance(node, dict):
        return {str(key): _value(inner) for key, inner in node.items()}
    if isinstance(node, list):
        return [_value(inner) for inner in node]
    plain: Value = node
    return plain


def _set(node: Any, step: Step, value: Value) -> None:  # noqa: ANN401  # likewise
    if isinstance(step, Element):
        put_element(node, step, value)
    else:
        node[step] = value


def _with_newlines_of(text: str, new: str) -> str:
    return new.replace("\n", "\r\n") if "\r\n" in text else new
