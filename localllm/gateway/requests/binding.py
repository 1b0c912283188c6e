"""What an answer may be bound to: schemas and grammars, and how large and deep they may be. Pure.

Engines turn a schema into a grammar, and read both by functions that call themselves, with no
bound: one that nests far enough ends the server (llama.cpp#26600 and #26602).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localllm.gateway.requests.document import (
    MOST_NESTING,
    check_one_of,
    deeper_than,
    json_bytes,
    wrong,
)
from localllm.gateway.requests.fields import Format

MOST_SCHEMA_DEPTH = 32
MOST_SCHEMA_BYTES = 64 << 10
MOST_GRAMMAR_DEPTH = 64
MOST_GRAMMAR_BYTES = 64 << 10
FORMATS = ("text", "json_object", "json_schema")
GRAMMARS = (
    "grammar",
    "ebnf",
    "regex",
    "structural_tag",
    "structured_outputs",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
)
"""The first is llama.cpp's; the others are vLLM's and SGLang's."""

_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Hold schemas by name, and are none themselves."""

_NO_BRACKETS = re.compile(
    r"""
    "(?:[^"\\]|\\.?)*+(?:"|\Z)
    | \[(?:[^\]\\]|\\.?)*+(?:\]|\Z)
    | \#[^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
"""What of a grammar in GBNF may hold a bracket that groups nothing: texts, characters, comments.
One without an end goes to the grammar's, so that none is read twice."""


def check_format(asked: Format | None) -> None:
    """Refuse a `response_format` that no engine keeps, for none is ever ignored."""
    if asked is None:
        return
    check_one_of("response_format.type", asked.type, FORMATS)
    schema = None if asked.json_schema is None else asked.json_schema.schema
    if asked.type == "json_schema" and schema is None:
        where = "response_format.json_schema.schema"
        raise wrong(where, "json_schema needs one", "send it, or the type json_object")
    check_schema("response_format.json_schema.schema", schema)
    check_schema("response_format.schema", asked.schema)


def check_schema(param: str, schema: Mapping[str, Any] | None) -> None:
    """Refuse a JSON schema that is too large or too deep.

    Depth counts schemas in schemas: `properties` and the lists of `anyOf` are no level.
    """
    if schema is None:
        return
    size = json_bytes(schema)
    if size > MOST_SCHEMA_BYTES:
        raise wrong(param, f"{size} bytes > {MOST_SCHEMA_BYTES} maximum", "send a smaller schema")
    if schema_deeper_than(schema, MOST_SCHEMA_DEPTH):
        why = f"its schemas are more than {MOST_SCHEMA_DEPTH} levels deep in each other"
        raise wrong(param, why, "send one that is less deep, with $defs for what recurs")


def schema_deeper_than(schema: Mapping[str, Any], levels: int) -> bool:
    """Tell whether schemas are more than `levels` deep in each other. Never recurses."""
    layer: Sequence[object] = [schema]
    for _ in range(levels):
        layer = [child for parent in layer for child in _schemas_in(parent)]
        if not layer:
            return False
    return True


def _schemas_in(parent: object) -> Iterator[object]:
    """Yield what is one level further in: an object, or a list in a list."""
    values = parent if isinstance(parent, list) else ()
    if isinstance(parent, dict):
        for name, value in parent.items():
            if name in _NAMED and isinstance(value, dict):
                yield from (child for child in value.values() if isinstance(child, dict | list))
            elif isinstance(value, list):
                yield from (child for child in value if isinstance(child, dict | list))
            elif isinstance(value, dict):
                yield value
    yield from (child for child in values if isinstance(child, dict | list))


def check_grammars(document: Mapping[str, Any], *, allowed: bool) -> None:
    """Refuse grammars of clients, or, where they are allowed, those too large or too deep."""
    for name in GRAMMARS:
        grammar = document.get(name)
        if grammar in (None, ""):
            continue
        if not allowed:
            why = "grammars of clients are off: engines read them without a bound"
            raise wrong(name, why, "send response_format with a JSON schema")
        _check_grammar(name, grammar)


def _check_grammar(name: str, grammar: object) -> None:
    is_text = isinstance(grammar, str)
    if name == "grammar" and not is_text:
        raise wrong(name, "expected `str`", "send GBNF as a text")
    size = len(grammar.encode()) if isinstance(grammar, str) else json_bytes(grammar)
    if size > MOST_GRAMMAR_BYTES:
        raise wrong(name, f"{size} bytes > {MOST_GRAMMAR_BYTES} maximum", "send a smaller one")
    if isinstance(grammar, str):
        is_deep = _group_depth(grammar) > MOST_GRAMMAR_DEPTH
    else:
        is_deep = deeper_than(grammar, min(MOST_GRAMMAR_DEPTH, MOST_NESTING))
    if is_deep:
        raise wrong(name, f"it nests deeper than {MOST_GRAMMAR_DEPTH} levels", "send one less deep")


def _group_depth(grammar: str) -> int:
    deepest = depth = 0
    for mark in re.findall(r"[()]", _NO_BRACKETS.sub("", grammar)):
        depth += 1 if mark == "(" else -1
        deepest = max(deepest, depth)
    return deepest
