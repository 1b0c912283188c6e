"""What Anthropic's clients read of an error."""

from __future__ import annotations

import json

import pytest

from localllm import errors as e
from localllm.gateway.http_errors import openai_error
from localllm.gateway.translate.anthropic_errors import anthropic_error


def an(kind: type[e.LocalLLMError]) -> e.LocalLLMError:
    return kind("What.", why="why", fix="fix")


def said(error: Exception) -> dict[str, str]:
    body = json.loads(json.dumps(anthropic_error(error).body))
    assert body.keys() == {"type", "error"}
    assert body["type"] == "error"
    return body["error"]


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [
        (e.BadRequest, 400, "invalid_request_error"),
        (e.Unauthorized, 401, "authentication_error"),
        (e.Forbidden, 403, "permission_error"),
        (e.ModelNotFound, 404, "not_found_error"),
        (e.NoSuchEndpoint, 404, "not_found_error"),
        (e.WrongMethod, 405, "invalid_request_error"),
        (e.TooLarge, 413, "request_too_large"),
        (e.NotJson, 415, "invalid_request_error"),
        (e.DoesNotFit, 422, "invalid_request_error"),
        (e.Busy, 429, "rate_limit_error"),
        (e.LocalLLMError, 500, "api_error"),
        (e.EngineGone, 502, "api_error"),
        (e.StillLoading, 503, "overloaded_error"),
        (e.NoSpace, 507, "api_error"),
    ],
)
def test_the_type_follows_from_the_status(
    kind: type[e.LocalLLMError], status: int, type_: str
) -> None:
    error = an(kind)

    assert anthropic_error(error).status == status
    assert said(error) == {"type": type_, "message": "What.\n  why: why\n  fix: fix"}


@pytest.mark.parametrize("kind", [e.Busy, e.StillLoading, e.EngineGone, e.DoesNotFit])
def test_whether_to_try_again_is_said_as_to_everyone(kind: type[e.LocalLLMError]) -> None:
    assert anthropic_error(an(kind)).headers == openai_error(an(kind)).headers


def too_long(tokens: int | None, maximum: int | None) -> e.ContextTooLong:
    return e.ContextTooLong("It is.", why="why", fix="fix", tokens=tokens, maximum=maximum)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (too_long(5000, 4096), "prompt is too long: 5000 tokens > 4096 maximum"),
        (too_long(None, 4096), "prompt is too long: It is."),
        (too_long(None, None), "prompt is too long: It is."),
    ],
)
def test_claude_code_knows_a_prompt_that_is_too_long_by_these_words(
    error: e.ContextTooLong, message: str
) -> None:
    assert (anthropic_error(error).status, said(error)["message"]) == (400, message)


def test_the_field_that_is_wrong_is_named_once() -> None:
    named = e.BadRequest("top_p: no.", why="why", fix="fix", param="top_p")
    unnamed = e.BadRequest("No.", why="why", fix="fix", param="top_p")

    assert said(named)["message"].startswith("top_p: no.\n")
    assert said(unnamed)["message"].startswith("top_p: No.\n")


def test_a_bug_tells_no_secret() -> None:
    error = RuntimeError("the secret")

    assert said(error) == {"type": "api_error", "message": "internal error"}
    assert anthropic_error(error).headers == {"x-should-retry": "false"}
