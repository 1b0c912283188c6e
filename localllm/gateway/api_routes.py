"""Routes of the control API: each is declared once, for the router and for its description alike.

A table of them is a list of what `plain`, `with_body`, `with_query` and `streaming` make.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from localllm import __version__
from localllm.errors import BadRequest
from localllm.gateway.bodies import read_body
from localllm.gateway.openapi import Document, Operation, Text, render_openapi

Taken = TypeVar("Taken")
Query = TypeVar("Query", bound=msgspec.Struct)
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """One call, and what answers it."""

    operation: Operation
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes(Protocol):
    """A part of the control API."""

    def table(self) -> Sequence[ApiRoute]: ...


def plain(
    operation: Operation,
    answer: type[Given],
    handle: Callable[[web.Request], Awaitable[Given]],
) -> ApiRoute:
    """Declare a call that says all in its path; a body is not read."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return json_response(await handle(request), status=operation.status)

    return ApiRoute(replace(operation, answer=answer), handler)


def with_body(
    operation: Operation,
    kind: type[Taken],
    answer: type[Given],
    handle: Callable[[web.Request, Taken], Awaitable[Given]],
) -> ApiRoute:
    """Declare a call with a JSON body; none is an empty object."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await read_body(request, request.client_max_size)
        wanted = parse_body(body, kind)
        return json_response(await handle(request, wanted), status=operation.status)

    return ApiRoute(replace(operation, body=kind, answer=answer), handler)


def with_query(
    operation: Operation,
    kind: type[Query],
    answer: type[Given],
    handle: Callable[[web.Request, Query], Awaitable[Given]],
) -> ApiRoute:
    """Declare a call with parameters behind a question mark."""

    async def handler(request: web.Request) -> web.StreamResponse:
        wanted = read_query(request, kind)
        return json_response(await handle(request, wanted), status=operation.status)

    return ApiRoute(replace(operation, query=kind, answer=answer), handler)


def streaming(
    operation: Operation,
    kind: type[Query],
    answer: Text,
    handle: Callable[[web.Request, Query], Awaitable[web.StreamResponse]],
) -> ApiRoute:
    """Declare a call that is answered piece by piece."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await handle(request, read_query(request, kind))

    return ApiRoute(replace(operation, query=kind, answer=answer), handler)


def routes_of(table: Sequence[ApiRoute]) -> list[web.RouteDef]:
    """Make the router's routes, one more among them: the description of all."""

    async def describe(_request: web.Request) -> Document:
        return document

    summary = "This description."
    described = Operation("GET", "/api/v1/openapi.json", summary, is_open=True)
    whole = [*table, plain(described, Document, describe)]
    document = render_openapi((route.operation for route in whole), __version__)
    return [web.route(r.operation.method, r.operation.path, r.handler) for r in whole]


def parse_body(body: bytes, kind: type[Taken]) -> Taken:
    """Read a JSON body.

    Raises:
        BadRequest: It is none, or not what is taken.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("The body is wrong.", why=str(error), fix="correct it") from error


def read_query(request: web.Request, kind: type[Query]) -> Query:
    """Read what is behind the question mark.

    Raises:
        BadRequest: It is not what is taken, or something is said twice.
    """
    said = Counter(name for name, _ in request.query.items())
    twice = next((name for name, times in said.items() if times > 1), None)
    if twice is not None:
        why = f"{twice} is said {said[twice]} times"
        raise BadRequest("The query is wrong.", why=why, fix="say it once", param=twice)
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest("The query is wrong.", why=str(error), fix="correct it") from error


def json_response(document: object, *, status: int = 200) -> web.Response:
    """Answer with a document."""
    body = msgspec.json.encode(document)
    return web.Response(body=body, status=status, content_type="application/json")
