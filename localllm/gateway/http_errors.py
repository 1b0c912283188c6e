"""Render any failure as the error object OpenAI clients expect."""

from __future__ import annotations

import math
from dataclasses import dataclass

from localllm.errors import BadRequest, LocalLLMError

_SAYS_WHEN = frozenset({429, 503})
_RETRY_AFTER_S = 5.0
_DEMANDED = {
    401: {"WWW-Authenticate": "Bearer"},
    426: {"Upgrade": "HTTP/1.1", "Connection": "Upgrade"},
}
"""By status what RFC 9110 has beside it, in 11.6.1 and 15.5.22."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    status: int
    headers: dict[str, str]
    body: dict[str, object]


def openai_error(error: Exception) -> ErrorReply:
    """Say `error` in OpenAI's words.

    `body["error"]` always has message, type, param and code: clients read them
    without checking. An unexpected error says nothing of its cause; that goes
    to the log, not to the caller.

    Source: ErrorResponse in openai/openai-openapi; retries in openai-python's
    `_should_retry`.
    """
    if isinstance(error, LocalLLMError):
        status, kind, code, message = error.http_status, error.openai_type, error.code, str(error)
    else:
        status, kind, code, message = 500, "server_error", "internal_error", "internal error"
    param = error.param if isinstance(error, BadRequest) else None
    detail: dict[str, str | None] = {"message": message, "type": kind, "param": param, "code": code}
    return ErrorReply(status, error_headers(error), {"error": detail})


def error_headers(error: Exception) -> dict[str, str]:
    """Say what to do about `error`, in the headers that every API's clients obey."""
    if not isinstance(error, LocalLLMError):
        return {"x-should-retry": "false"}
    status = error.http_status
    headers = {"x-should-retry": str(error.retryable).lower(), **_DEMANDED.get(status, {})}
    if error.retryable and status in _SAYS_WHEN:
        after_s = error.retry_after_s if error.retry_after_s is not None else _RETRY_AFTER_S
        headers["Retry-After"] = str(max(1, math.ceil(after_s)))
    return headers
