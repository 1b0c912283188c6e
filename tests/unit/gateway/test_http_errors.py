"""What a client reads of an error: the same four keys, and whether to try again, and when."""

from __future__ import annotations

import json

import pytest

from localllm import errors as e
from localllm.gateway.http_errors import openai_error


def an(kind: type[e.LocalLLMError]) -> e.LocalLLMError:
    return kind("What.", why="why", fix="fix")


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        (e.Busy, "5"),
        (e.NotReady, "5"),
        (e.StillLoading, "5"),
        (e.EngineGone, None),  # at once: it restarts, and a request waits for that
        (e.NoNetwork, None),
        (e.StartFailed, None),
        (e.DoesNotFit, None),
        (e.ModelNotFound, None),
    ],
)
def test_what_will_pass_by_itself_says_when_to_come_back(
    kind: type[e.LocalLLMError], after: str | None
) -> None:
    assert openai_error(an(kind)).headers.get("Retry-After") == after


def test_a_start_that_will_be_tried_again_says_when_to_come_back() -> None:
    failed = e.StartFailed("What.", why="why", fix="fix", will_retry=True)

    assert openai_error(failed).headers == {"x-should-retry": "true", "Retry-After": "5"}


@pytest.mark.parametrize("error", [an(e.Busy), an(e.ContextTooLong), KeyError("x"), Exception()])
def test_every_error_has_the_four_keys_and_can_be_sent(error: Exception) -> None:
    reply = openai_error(error)

    assert set(json.loads(json.dumps(reply.body))["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["x-should-retry"] in {"true", "false"}


def test_the_message_has_what_why_and_fix() -> None:
    message = openai_error(an(e.Forbidden)).body["error"]["message"]

    assert message == "What.\n  why: why\n  fix: fix"


def test_a_bug_is_an_internal_error_that_no_retry_cures_and_tells_no_secret() -> None:
    reply = openai_error(RuntimeError("the secret"))

    assert (reply.status, reply.headers) == (500, {"x-should-retry": "false"})
    assert reply.body["error"] == {
        "message": "internal error",
        "type": "server_error",
        "param": None,
        "code": "internal_error",
    }
