"""Render any failure as the error object OpenAI clients expect."""

from __future__ import annotations

from dataclasses import dataclass

from localllm.errors import BadRequest, LocalLLMError

_SAYS_WHEN = frozenset({429, 503})
_RETRY_AFTER_S = "5"


@dataclass(frozen=True, slots=True)
class ErrorReply:
    status: int
    headers: dict[str, str]
    body: dict[str, dict[str, str | None]]


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
        retry = error.retryable
    else:
        status, kind, code, message = 500, "server_error", "internal_error", "internal error"
        retry = False
    param = error.param if isinstance(error, BadRequest) else None
    detail: dict[str, str | None] = {"message": message, "type": kind, "param": param, "code": code}
    headers = {"x-should-retry": str(retry).lower()}
    if retry and status in _SAYS_WHEN:
        headers["Retry-After"] = _RETRY_AFTER_S
    return ErrorReply(status, headers, {"error": detail})
