"""Turn an engine's refusal into ours, so that clients read one language on every engine. Pure."""

from __future__ import annotations

import msgspec

from localllm.errors import BadRequest, ContextTooLong, EngineGone, LocalLLMError, NotReady

_CLIENT_ERRORS = range(400, 500)
_CLIENTS_FAULT = ("Failed to parse messages", "Failed to parse tools")
"""What llama.cpp calls a failure of its own, status 500, and is one of the request."""

_CACHE_IS_FULL = "Context size has been exceeded"
"""llama.cpp's words where one request alone would have fit: all that run then fail."""


class _Detail(msgspec.Struct):
    """Source: format_error_response in llama.cpp's tools/server."""

    message: str = ""
    type: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Refusal(msgspec.Struct):
    error: _Detail


def engine_error(status: int, body: bytes) -> LocalLLMError:
    """Read what an engine said beside a status that is not 200."""
    try:
        detail = msgspec.json.decode(body, type=_Refusal).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        detail = _Detail(message=body[:200].decode(errors="replace"))
    if detail.type == "exceed_context_size_error" or detail.n_ctx is not None:
        return ContextTooLong(
            f"The prompt has {detail.n_prompt_tokens} tokens, the context holds {detail.n_ctx}.",
            why=f"{detail.n_prompt_tokens} tokens > {detail.n_ctx} maximum",
            fix="shorten the prompt, or: localllm up --context with more tokens",
            tokens=detail.n_prompt_tokens,
            maximum=detail.n_ctx,
        )
    if detail.message.startswith(_CACHE_IS_FULL):
        return NotReady(
            "The engine's cache ran full while it worked on several requests at once.",
            why=f"their prompts and answers share one context: {detail.message}",
            fix="send it again; localllm up with more --context, or less --parallel",
        )
    if status in _CLIENT_ERRORS or detail.message.startswith(_CLIENTS_FAULT):
        return BadRequest(
            detail.message or "The engine refused the request.",
            why=f"the engine answered with status {status}",
            fix="correct the request",
        )
    return EngineGone(
        "The engine failed at this request.",
        why=f"status {status}: {detail.message}",
        fix="try again; localllm logs shows the engine's own words",
    )
