"""The first thing that sees a request, and the last that sees an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web

from localllm.errors import (
    BadRequest,
    LocalLLMError,
    NoSuchEndpoint,
    TooLarge,
    TooSlow,
    WrongMethod,
)
from localllm.gateway.access import Asked, Rules, check_access, cors_headers, preflight_headers
from localllm.gateway.bodies import let_go
from localllm.gateway.callers import Caller, Rates
from localllm.gateway.http_errors import openai_error
from localllm.gateway.translate.anthropic_errors import anthropic_error

_log = logging.getLogger(__name__)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""On every answer, those to what is no HTTP included."""

_MESSAGES = "/v1/messages"
_IN_NAMES = ":/[]@+ "
"""What a model's name may have and a header, too: the id of a file is made of its name."""

_BEGUN = web.RequestKey("begun", bool)
"""Set in a request once its answer's headers are on their way."""

SERVED_BY = web.RequestKey("served_by", str)
"""Set in a request to who answers it: an instance, or `remote:` and a host."""

CALLER = web.RequestKey("caller", Caller)
"""Set in a request to who sent it, once it is admitted."""

REQUEST_ID = web.RequestKey("request_id", str)
"""Set in a request to its number, under which it is shown; clients tell it when something fails."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(
    rules: Callable[[], Rules],
    clock: Callable[[], float] = time.monotonic,
    calendar: Callable[[], float] = time.time,
    answer: Callable[[Exception, str], web.Response] | None = None,
) -> Handler:
    """Make the middleware.

    Args:
        rules: Asked with each request: the port is known once it is bound, and keys change.
        clock: For rates, since nobody sets it.
        calendar: For the dates at which keys expire.
        answer: Tells an error to who asked for a path; None: as the API of that path does.
    """
    tell = answer or error_response
    rates = Rates()

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            caller = check_access(_asked(request, calendar()), rules())
            rates.count(caller, clock())
            request[CALLER] = caller
            if request.method == "OPTIONS":
                headers = preflight_headers(request.headers.get("Origin"), rules())
                return web.Response(status=204, headers=headers)
            return await handler(request)
        except ConnectionError:  # the client has gone
            raise
        except Exception as error:
            ours = _as_ours(error, request)
            if request.get(_BEGUN):  # a second answer would be read as a part of the first
                raise
            return tell(ours, request.path)
        finally:
            let_go(request)

    return guarded  # type: ignore[return-value]  # aiohttp's decorator hides the two arguments


def sign_answers(rules: Callable[[], Rules]) -> Callable[..., Awaitable[None]]:
    """Make the hook that puts the headers on every answer, streams and errors included."""

    async def sign(request: web.Request, response: web.StreamResponse) -> None:
        request[_BEGUN] = True
        response.headers.update(ALWAYS)
        if REQUEST_ID in request:  # OpenAI's name, and Anthropic's
            response.headers["x-request-id"] = response.headers["request-id"] = request[REQUEST_ID]
        if SERVED_BY in request:
            response.headers["X-Localllm-Served-By"] = quote(request[SERVED_BY], safe=_IN_NAMES)
        origins = request.headers.getall("Origin", [])
        if len(origins) == 1:
            response.headers.update(cors_headers(origins[0], rules()))

    return sign


def error_response(error: Exception, path: str) -> web.Response:
    """Answer with `error` in the shape of the API that was called; OpenAI's, where it is neither."""
    is_anthropics = path == _MESSAGES or path.startswith(f"{_MESSAGES}/")
    reply = anthropic_error(error) if is_anthropics else openai_error(error)
    response = web.json_response(reply.body, status=reply.status, headers=reply.headers)
    if isinstance(error, TooLarge | TooSlow):  # the rest of the body is on its way, or never comes
        response.force_close()
    return response


def _asked(request: web.Request, at: float) -> Asked:
    headers: dict[str, list[str]] = {}
    for name, value in request.raw_headers:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    # an absolute target is rebuilt by request.path: the raw one has what the client wrote
    resource = request.match_info.route.resource
    route = "" if resource is None else resource.canonical
    ours = request.protocol.sockname
    return Asked(
        request.method,
        request.raw_path,
        headers,
        request.body_exists,
        route,
        peer=request.remote or "",
        reached=str(ours[0]) if ours else "",
        at=at,
    )


def _as_ours(error: Exception, request: web.Request) -> Exception:
    """Turn aiohttp's own refusals into ours; log what nobody expected."""
    match error:
        case LocalLLMError():
            return error
        case web.HTTPRequestEntityTooLarge():
            return TooLarge(
                "The body is too large.",
                why=error.text or "it is over the limit",
                fix="send less, or raise max_body_mib in config.toml",
            )
        case web.HTTPNotFound():
            return NoSuchEndpoint(
                f"There is no {request.path}.",
                why="it is not one of the endpoints",
                fix="the README lists them; an OpenAI client's base URL ends in /v1",
            )
        case web.HTTPMethodNotAllowed():
            return WrongMethod(
                f"{request.path} does not take {request.method}.",
                why=f"it takes {', '.join(sorted(error.allowed_methods))}",
                fix="use that method",
            )
        case RecursionError() | web.HTTPBadRequest():
            return BadRequest(
                "The request cannot be read.", why=str(error), fix="send well-formed JSON"
            )
        case _:
            _log.exception("a request failed unexpectedly: path=%s", request.path, exc_info=error)
            return error
