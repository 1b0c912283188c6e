"""The schema of config.toml as JSON Schema, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

import msgspec

from localllm.config.reference import docs_of
from localllm.config.remote import Remote
from localllm.config.settings import Settings
from localllm.config.tree import REFUSED, all_settings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def render_schema() -> dict[str, Any]:
    """Give the schema that msgspec makes of the structs, with their docstrings."""
    schema = msgspec.json.schema(Settings)
    tables: dict[str, type[msgspec.Struct]] = {s.owner.__name__: s.owner for s in all_settings()}
    for name, table in tables.items():
        _describe(schema["$defs"][name], table)
    return {"$schema": _DIALECT, "title": "localllm's config.toml", **_portable(schema)}


def _describe(shown: dict[str, Any], table: type[msgspec.Struct]) -> None:
    docs = docs_of(table)
    for name, said in shown["properties"].items():
        described = {"allOf": [{"$ref": said["$ref"]}]} if "$ref" in said else said
        shown["properties"][name] = {**described, "description": docs[name]}
    if table is Remote:
        del shown["properties"][REFUSED[-1]]


def _portable(schema: Any) -> Any:  # noqa: ANN401  # a tree of JSON
    """Write patterns as JSON Schema has them: its $ is Python's end of all text."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$")
            if name == "pattern" and isinstance(value, str)
            else _portable(value)
            for name, value in schema.items()
        }
    return [_portable(one) for one in schema] if isinstance(schema, list) else schema
