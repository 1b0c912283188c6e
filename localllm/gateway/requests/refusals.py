"""What an engine says where a model cannot do what was asked, in words that help. Pure.

llama.cpp calls it its own failure, with status 501 or 500; clients would ask again in vain.

Source: format_error_response and its callers in llama.cpp's tools/server.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from localllm.errors import BadRequest, ContextTooLong, LocalLLMError
from localllm.gateway.engine_errors import engine_error

_TOO_LONG = re.compile(r"input \((\d+) tokens\) is too large to process.*batch size: (\d+)")
"""Of one text for an embedding or a score, which has to be read in one piece."""


def infill_error(status: int, body: bytes) -> LocalLLMError:
    """Read the refusal of a completion with a suffix."""
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return BadRequest(
            "This model cannot fill in text before a suffix.",
            why="its vocabulary has no tokens that mark a prefix, a suffix and the middle",
            fix="leave suffix out, or ask a model for code that was trained to fill in",
            param="suffix",
        )
    return engine_error(status, body)


def embeddings_error(status: int, body: bytes) -> LocalLLMError:
    """Read the refusal of a request for embeddings."""
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return _not_served_for(
            "This model makes no embeddings.",
            why="it is served to write text, or to rank documents",
            fix="ask a model that was trained for it: localllm plan --use embed lists some",
        )
    return _too_long(body) or engine_error(status, body)


def rerank_error(status: int, body: bytes) -> LocalLLMError:
    """Read the refusal of a request to rank documents."""
    if status == HTTPStatus.NOT_IMPLEMENTED:
        return _not_served_for(
            "This model ranks no documents.",
            why="it is served to write text, or for embeddings",
            fix="ask a reranker, or one that a profile serves with pooling = rank",
        )
    return _too_long(body) or engine_error(status, body)


def _not_served_for(what: str, *, why: str, fix: str) -> BadRequest:
    return BadRequest(what, why=why, fix=fix, param="model")


def _too_long(body: bytes) -> ContextTooLong | None:
    found = _TOO_LONG.search(body.decode(errors="replace"))
    if found is None:
        return None
    tokens, maximum = int(found[1]), int(found[2])
    return ContextTooLong(
        f"A text has {tokens} tokens, the model reads {maximum} at once.",
        why=f"{tokens} tokens > {maximum} maximum",
        fix="send it in shorter pieces",
        tokens=tokens,
        maximum=maximum,
    )
