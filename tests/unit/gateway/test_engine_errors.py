"""What an engine says beside a bad status, in our words."""

from __future__ import annotations

import json

import pytest

from localllm.errors import BadRequest, ContextTooLong, EngineGone, LocalLLMError, NotReady
from localllm.gateway.engine_errors import engine_error


def refused(**detail: object) -> bytes:
    return json.dumps({"error": detail}).encode()


@pytest.mark.parametrize(
    "body",
    [
        refused(
            code=400,
            message="request (5000 tokens) exceeds the available context size (4096 tokens)",
            type="exceed_context_size_error",
            n_prompt_tokens=5000,
            n_ctx=4096,
        ),
        refused(message="too long", n_prompt_tokens=5000, n_ctx=4096),
        refused(
            message="You passed 5000 input tokens and requested 50 output tokens. However, the "
            "model's context length is only 4096 tokens."
        ),
        b'{"object":"error","message":"The input (5000 tokens) is longer than the model\'s context '
        b'length (4096 tokens).","type":"BadRequestError"}',
    ],
    ids=["llama.cpp", "without its type", "vllm", "sglang"],
)
def test_a_prompt_over_the_context_is_told_with_both_numbers(body: bytes) -> None:
    error = engine_error(400, body)

    assert type(error) is ContextTooLong
    assert error.what == "The prompt has 5000 tokens, the context holds 4096."
    assert error.why == "5000 tokens > 4096 maximum"
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "body", "kind", "what"),
    [
        (400, refused(message="no such parameter: top_q"), BadRequest, "no such parameter: top_q"),
        (400, refused(message=""), BadRequest, "The engine refused the request."),
        (400, refused(code=400), BadRequest, "The engine refused the request."),
        (400, b"", BadRequest, "The engine refused the request."),
        (400, b"<html>", BadRequest, "<html>"),
        (400, b'{"error":"text"}', BadRequest, '{"error":"text"}'),
        (401, refused(message="Invalid API Key"), BadRequest, "Invalid API Key"),
        (404, refused(message="File Not Found"), BadRequest, "File Not Found"),
        (500, refused(message="out of memory"), EngineGone, "The engine failed at this request."),
        (503, refused(message="Loading model"), EngineGone, "The engine failed at this request."),
        (
            501,
            refused(message="no chats"),
            BadRequest,
            "The model cannot do this, as it is served.",
        ),
        (302, b"", EngineGone, "The engine failed at this request."),
        (204, b"", EngineGone, "The engine failed at this request."),
    ],
)
def test_its_own_sentence_is_passed_on_and_the_status_says_whose_fault_it_is(
    status: int, body: bytes, kind: type[LocalLLMError], what: str
) -> None:
    error = engine_error(status, body)

    assert (type(error), error.what) == (kind, what)
    assert str(status) in error.why
    assert error.retryable is (kind is EngineGone)


def test_what_a_failed_engine_says_is_the_reason() -> None:
    assert engine_error(500, refused(message="out of memory")).why == "status 500: out of memory"


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b'{"error":{"message":"\xff"}}', b"[" * 100_000, b'{"error":{"n_ctx":"four"}}'],
    ids=["no text", "no text inside", "deep", "of another type"],
)
def test_an_answer_that_cannot_be_read_is_quoted_in_part(body: bytes) -> None:
    error = engine_error(400, body)

    assert type(error) is BadRequest
    assert 0 < len(error.what) <= 200


def test_a_cache_that_ran_full_is_no_fault_of_the_engine_and_may_be_tried_again() -> None:
    error = engine_error(500, refused(message="Context size has been exceeded."))

    assert (type(error), error.http_status, error.retryable) == (NotReady, 503, True)
