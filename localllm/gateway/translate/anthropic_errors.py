"""Render any failure as the error object that Anthropic's clients expect. Pure."""

from __future__ import annotations

from localllm.errors import BadRequest, ContextTooLong, LocalLLMError
from localllm.gateway.http_errors import ErrorReply, error_headers
from localllm.gateway.translate.anthropic_wire import NoThreads

_OURS, _OVERLOADED = "api_error", "overloaded_error"
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: _OVERLOADED,
    504: "timeout_error",
    529: _OVERLOADED,
}
_SERVER_ERRORS = 500


def anthropic_error(error: Exception) -> ErrorReply:
    """Say `error` in Anthropic's words; an unexpected one says nothing of its cause.

    Source: the Messages API's page on errors; error_response.py in anthropic-sdk-python, where
    `request_id` may be absent.
    """
    status = error.http_status if isinstance(error, LocalLLMError) else 500
    kind = _type(status)
    if kind == _OVERLOADED and not (isinstance(error, LocalLLMError) and error.retryable):
        kind = _OURS  # at the other, Claude Code asks three times more
    detail: dict[str, object] = {"type": kind, "message": _message(error)}
    if isinstance(error, NoThreads):
        detail["details"] = {"error_code": error.code, "unsupported": ["thread"]}
    return ErrorReply(status, error_headers(error), {"type": "error", "error": detail})


def _type(status: int) -> str:
    ours = _OURS if status >= _SERVER_ERRORS else "invalid_request_error"
    return _TYPES.get(status, ours)


def _message(error: Exception) -> str:
    match error:
        case ContextTooLong():
            return _too_long(error)
        case BadRequest(param=str(param)) if param not in str(error):
            return f"{param}: {error}"
        case LocalLLMError():
            return str(error)
        case _:
            return "internal error"


def _too_long(error: ContextTooLong) -> str:
    """Say it as Anthropic does: by these words Claude Code knows that it has to shorten the talk."""
    if error.tokens is None or error.maximum is None:
        return f"prompt is too long: {error.what}"
    return f"prompt is too long: {error.tokens} tokens > {error.maximum} maximum"
