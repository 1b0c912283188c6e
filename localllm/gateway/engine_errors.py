"""Turn an engine's refusal into ours, so that clients read one language on every engine. Pure."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec

from localllm.errors import BadRequest, ContextTooLong, EngineGone, LocalLLMError, NotReady
from localllm.gateway.translate.chunks import EngineFailure, parse_chunk

_ERROR = b'{"error"'
"""llama.cpp ends a stream that fails with such an event, and without [DONE]."""

_SERVER_ERROR = 500
_CLIENT_ERRORS = range(400, 500)
_CLIENTS_FAULT = ("Failed to parse messages", "Failed to parse tools")
"""What llama.cpp calls a failure of its own, status 500, and is one of the request."""

_CACHE_IS_FULL = "Context size has been exceeded"
"""llama.cpp's words where one request alone would have fit: all that run then fail."""


_TOO_LONG = (
    re.compile(
        r"maximum context length is (?P<maximum>\d+) tokens.*\((?P<tokens>\d+) in the", re.DOTALL
    ),
    re.compile(r"passed (?P<tokens>\d+) input tokens.*length is only (?P<maximum>\d+)", re.DOTALL),
    re.compile(r"input \((?P<tokens>\d+) tokens\) is longer than .*\((?P<maximum>\d+) tokens\)"),
)
"""vLLM's words, older and newer, and SGLang's."""


class _Detail(msgspec.Struct):
    """Source: format_error_response in llama.cpp's tools/server."""

    message: str = ""
    type: str | None = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Refusal(msgspec.Struct):
    """vLLM has sent the detail with `error` around it, and without."""

    error: _Detail | None = None
    message: str = ""
    type: str = ""

    @property
    def detail(self) -> _Detail:
        return self.error or _Detail(self.message, self.type)


def engine_error(status: int, body: bytes) -> LocalLLMError:
    """Read what an engine said beside a status that is not 200."""
    try:
        detail = msgspec.json.decode(body, type=_Refusal).detail
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        detail = _Detail(message=body[:200].decode(errors="replace"))
    if (too_long := _too_long(detail)) is not None:
        return too_long
    if detail.message.startswith(_CACHE_IS_FULL):
        return NotReady(
            "The engine's cache ran full while it worked on several requests at once.",
            why=f"their prompts and answers share one context: {detail.message}",
            fix="send it again; localllm up with more --context, or less --parallel",
        )
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return BadRequest(
            "The model cannot do this, as it is served.",
            why=f"the engine answered with status {status}: {detail.message}",
            fix="ask another model: GET /v1/models names what each can do",
            param="model",
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


def failure(error: EngineFailure) -> LocalLLMError:
    """Read an error in the middle of a stream; its code is the status that it would have had."""
    status = error.code if isinstance(error.code, int) else _SERVER_ERROR
    return engine_error(status, msgspec.json.encode({"error": error}))


def failure_in_tail(tail: bytes) -> LocalLLMError | None:
    """Read the error that a stream of chunks ends with; None if it ends otherwise.

    Args:
        tail: Its last bytes; the first event in it may be cut.
    """
    _, _, last = tail.rpartition(b"data: ")
    if not last.startswith(_ERROR):
        return None
    try:
        error = parse_chunk(last).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    return failure(error or EngineFailure())


def _too_long(detail: _Detail) -> ContextTooLong | None:
    """Read that a prompt does not fit, in any engine's words; None: it is something else."""
    tokens, maximum = detail.n_prompt_tokens, detail.n_ctx
    for wording in _TOO_LONG:
        if maximum is None and (found := wording.search(detail.message)):
            tokens, maximum = int(found["tokens"]), int(found["maximum"])
    if detail.type != "exceed_context_size_error" and maximum is None:
        return None
    fix = "shorten the prompt, or: localllm up --context with more tokens"
    if tokens is None or maximum is None:
        why = detail.message or "the engine does not say by how much"
        return ContextTooLong("The prompt does not fit into the context.", why=why, fix=fix)
    return ContextTooLong(
        f"The prompt has {tokens} tokens, the context holds {maximum}.",
        why=f"{tokens} tokens > {maximum} maximum",
        fix=fix,
        tokens=tokens,
        maximum=maximum,
    )
