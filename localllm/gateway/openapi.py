"""Describes the control API as OpenAPI 3.1, from the types that its handlers take and give. Pure.

Source: spec.openapis.org/oas/v3.1.1; its schemas are JSON Schema 2020-12, which msgspec writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from localllm.errors import (
    BadRequest,
    Forbidden,
    LocalLLMError,
    NotJson,
    TooLarge,
    TooSlow,
    Unauthorized,
    UnknownEncoding,
)

Document = dict[str, Any]

_COMPONENTS = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")
_PARAMETERS = {
    "id": "One of a model's names, or an instance. A slash in it is written %2F.",
    "agent": "An agent's id, as in claude-code.",
    "pull": "A pull's id, as in p1.",
    "request": "A request's id, as GET /api/v1/requests and the header x-request-id have it.",
    "name": "A model on this disk, as GET /api/v1/store names it. A slash in it is written %2F.",
}
_ALWAYS = (BadRequest, Forbidden)
_WITH_TOKEN = (Unauthorized,)
_WITH_BODY = (TooLarge, TooSlow, NotJson, UnknownEncoding)
_ERROR: Document = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON document."""

    media_type: str
    says: str
    events: type[msgspec.Struct] | None = None
    """What each server-sent event holds."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call: all that its description says."""

    method: str
    path: str
    """As aiohttp writes it, which is as OpenAPI does."""

    summary: str
    errors: tuple[type[LocalLLMError], ...] = ()
    """Beside those of every call."""

    status: int = 200
    answer: Any = None
    """A type that msgspec knows, or `Text`."""

    query: type[msgspec.Struct] | None = None
    body: Any = None
    is_open: bool = False
    """Whether it needs no token."""

    @property
    def all_errors(self) -> Sequence[type[LocalLLMError]]:
        with_token = () if self.is_open else _WITH_TOKEN
        with_body = () if self.method == "GET" else _WITH_BODY
        return (*_ALWAYS, *with_token, *with_body, *self.errors)


def render_openapi(operations: Iterable[Operation], version: str) -> Document:
    """Write the description.

    Args:
        version: The daemon's.
    """
    ordered = tuple(operations)
    schemas, components = _schemas(ordered)
    paths: dict[str, Document] = {}
    for operation in ordered:
        described = _operation(operation, schemas, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "localllm control API",
            "version": version,
            "description": "Bytes are integers, times are seconds, speeds are tokens per second; "
            "an unknown value is null.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token in daemon.json, which its user alone can read.",
                }
            },
        },
    }


def _schemas(operations: Sequence[Operation]) -> tuple[Mapping[Any, Document], Document]:
    """Write the schema of each type that is taken or given, and those that they refer to."""
    types = [
        kind.events if isinstance(kind, Text) else kind
        for o in operations
        for kind in (o.answer, o.query, o.body)
    ]
    kinds = [kind for kind in dict.fromkeys(types) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_COMPONENTS)
    ours = {name: _in_their_words(schema) for name, schema in components.items()}
    return dict(zip(kinds, schemas, strict=True)), ours


def _in_their_words(schema: object) -> object:
    r"""Write patterns as JSON Schema has them, which knows no \Z; its $ is the very end."""
    match schema:
        case dict():
            return {
                name: re.sub(r"\\Z$", "$", part)
                if name == "pattern" and isinstance(part, str)
                else _in_their_words(part)
                for name, part in schema.items()
            }
        case list():
            return [_in_their_words(part) for part in schema]
        case _:
            return schema


def _operation(
    operation: Operation, schemas: Mapping[Any, Document], components: Document
) -> Document:
    described: Document = {
        "operationId": _id(operation),
        "summary": operation.summary,
        "parameters": [*_in_path(operation), *_in_query(operation, components)],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": False, "content": content}
    if operation.is_open:
        described["security"] = []
    return described


def _id(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.removeprefix("/api/v1/"))
    return "_".join((operation.method.lower(), *words))


def _in_path(operation: Operation) -> Iterable[Document]:
    for name in _PARAMETER.findall(operation.path):
        schema = {"type": "string", "minLength": 1}
        said = {"description": _PARAMETERS[name]} if name in _PARAMETERS else {}
        yield {"name": name, "in": "path", "required": True, "schema": schema, **said}


def _in_query(operation: Operation, components: Document) -> Iterable[Document]:
    if operation.query is None:
        return
    for name, schema in components[operation.query.__name__]["properties"].items():
        yield {"name": name, "in": "query", "required": False, "schema": schema}


def _responses(operation: Operation, schemas: Mapping[Any, Document]) -> Document:
    if isinstance(operation.answer, Text):
        content: Document = {
            operation.answer.media_type: {"schema": _text(operation.answer, schemas)}
        }
    else:
        content = {"application/json": {"schema": schemas.get(operation.answer, {})}}
    phrase = HTTPStatus(operation.status).phrase
    answers: Document = {str(operation.status): {"description": phrase, "content": content}}
    by_status: dict[int, list[type[LocalLLMError]]] = {}
    for kind in operation.all_errors:
        by_status.setdefault(kind.http_status, []).append(kind)
    for status, kinds in sorted(by_status.items()):
        answers[str(status)] = _refusal(kinds)
    return answers


def _text(answer: Text, schemas: Mapping[Any, Document]) -> Document:
    """As OpenAPI 3.2 describes a stream, for those who read it so: one event of it."""
    if answer.events is None:
        return {"type": "string", "description": answer.says}
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": schemas[answer.events],
    }
    properties = {"id": {"type": "string"}, "data": data}
    return {"type": "object", "description": answer.says, "properties": properties}


def _refusal(kinds: Sequence[type[LocalLLMError]]) -> Document:
    said = " ".join(dict.fromkeys((kind.__doc__ or "").splitlines()[0] for kind in kinds))
    schema = {"$ref": _COMPONENTS.format(name="Error")}
    return {"description": said, "content": {"application/json": {"schema": schema}}}
