"""What an engine says where a model cannot do what was asked, in words that help.

The engine's words are recorded from xllamacpp 2026.10.11549.
"""

from __future__ import annotations

import pytest

from localllm.errors import BadRequest, ContextTooLong
from localllm.gateway.requests.refusals import embeddings_error, infill_error, rerank_error
from tests.unit.gateway.requests.a_request import as_body

NO_MARKS = (
    "Infill is not supported by this model: prefix token is missing. suffix token is missing."
)
NO_VECTORS = "This server does not support embeddings. Start it with `--embeddings`"
NO_RANKS = "This server does not support reranking. Start it with `--reranking`"
TOO_LONG = (
    "input (5001 tokens) is too large to process. "
    "increase the physical batch size (current batch size: 512)"
)


def said(code: int, message: str, kind: str) -> bytes:
    return as_body({"error": {"code": code, "message": message, "type": kind}})


@pytest.mark.parametrize(
    ("read", "message", "param"),
    [
        (infill_error, NO_MARKS, "suffix"),
        (embeddings_error, NO_VECTORS, "model"),
        (rerank_error, NO_RANKS, "model"),
    ],
)
def test_a_model_that_cannot_do_it_is_a_bad_request_and_no_failure(read, message, param) -> None:
    error = read(501, said(501, message, "not_supported_error"))

    assert isinstance(error, BadRequest)
    assert (error.param, error.http_status, error.retryable) == (param, 400, False)


@pytest.mark.parametrize("read", [embeddings_error, rerank_error])
def test_a_text_that_is_too_long_is_told_with_both_numbers(read) -> None:
    error = read(500, said(500, TOO_LONG, "server_error"))

    assert isinstance(error, ContextTooLong)
    assert (error.tokens, error.maximum) == (5001, 512)


@pytest.mark.parametrize("read", [infill_error, embeddings_error, rerank_error])
def test_any_other_refusal_is_told_as_everywhere(read) -> None:
    error = read(400, said(400, "Prompt contains invalid tokens", "invalid_request_error"))

    assert isinstance(error, BadRequest)
    assert error.what == "Prompt contains invalid tokens"
