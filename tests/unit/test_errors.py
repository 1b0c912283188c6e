"""Every expected error can be shown to a person, a shell and an API client."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from localllm import errors as e
from localllm.formats.errors import HeaderIncomplete
from localllm.gateway.http_errors import openai_error
from localllm.gateway.remote_rules import RemoteFailed

INVALID = "invalid_request_error"
TREE = [  # kind, exit code, HTTP status, code, OpenAI's type, retryable
    (e.ConfigError, 2, 500, "config_error", "server_error", False),
    (e.DoesNotFit, 3, 422, "does_not_fit", INVALID, False),
    (e.NotRunning, 4, 503, "not_running", "server_error", False),
    (e.ModelNotFound, 5, 404, "model_not_found", INVALID, False),
    (e.BadKeyName, 2, 400, "bad_key_name", INVALID, False),
    (e.NoSuchKey, 5, 404, "no_such_key", INVALID, False),
    (e.NoNetwork, 6, 502, "no_network", "server_error", True),
    (e.WrongContent, 6, 502, "wrong_content", "server_error", False),
    (e.NoSpace, 1, 507, "no_space", "server_error", False),
    (e.EngineUnusable, 7, 422, "engine_unusable", INVALID, False),
    (e.EngineNeeded, 7, 422, "engine_needed", INVALID, False),
    (e.StartFailed, 7, 503, "start_failed", "server_error", False),
    (e.Busy, 8, 429, "busy", "rate_limit_error", True),
    (e.RateExceeded, 8, 429, "rate_exceeded", "rate_limit_error", True),
    (e.NotReady, 1, 503, "not_ready", "server_error", True),
    (e.StillLoading, 1, 503, "still_loading", "server_error", True),
    (e.EngineGone, 1, 502, "engine_gone", "server_error", True),
    (e.AlreadyRunning, 1, 500, "already_running", "server_error", False),
    (e.PortTaken, 1, 500, "port_taken", "server_error", False),
    (e.NoSuchAddress, 1, 500, "no_such_address", "server_error", False),
    (e.BadRequest, 1, 400, "bad_request", INVALID, False),
    (e.ContextTooLong, 1, 400, "context_length_exceeded", INVALID, False),
    (e.Unauthorized, 1, 401, "unauthorized", INVALID, False),
    (e.AccessRefused, 6, 403, "access_refused", INVALID, False),
    (e.Forbidden, 1, 403, "forbidden", INVALID, False),
    (e.BelongsElsewhere, 1, 409, "belongs_elsewhere", INVALID, False),
    (e.InUse, 1, 409, "in_use", INVALID, False),
    (e.NoSuchEndpoint, 1, 404, "no_such_endpoint", INVALID, False),
    (e.NotFound, 1, 404, "not_found", INVALID, False),
    (e.WrongMethod, 1, 405, "wrong_method", INVALID, False),
    (e.TooSlow, 1, 408, "too_slow", INVALID, True),
    (e.TooLarge, 1, 413, "too_large", INVALID, False),
    (e.NotJson, 1, 415, "not_json", INVALID, False),
    (e.UnknownEncoding, 1, 415, "unknown_encoding", INVALID, False),
    (e.NoUpgrade, 1, 426, "no_upgrade", INVALID, False),
]


def below(kind: type[e.LocalLLMError]) -> Iterator[type[e.LocalLLMError]]:
    for child in kind.__subclasses__():
        if child.__module__ == e.__name__:  # other files have their own, tested beside them
            yield child
            yield from below(child)


def test_the_table_is_the_whole_tree() -> None:
    assert {row[0] for row in TREE} == set(below(e.LocalLLMError))


@pytest.mark.parametrize(("kind", "exit_code", "status", "code", "type_", "retryable"), TREE)
def test_what_each_error_tells_a_shell_and_a_client(
    kind: type[e.LocalLLMError], exit_code: int, status: int, code: str, type_: str, retryable: bool
) -> None:
    error = kind("what", why="why", fix="fix")
    reply = openai_error(error)
    detail = reply.body["error"]

    assert str(error) == "what\n  why: why\n  fix: fix"
    assert (error.exit_code, reply.status) == (exit_code, status)
    assert detail == {"message": str(error), "type": type_, "param": None, "code": code}
    assert reply.headers["x-should-retry"] == str(retryable).lower()
    assert ("Retry-After" in reply.headers) == (retryable and status in {429, 503})
    assert e.by_code(code) is kind, "a client can raise what the daemon raised"


def test_a_failed_start_is_worth_a_retry_only_while_the_supervisor_tries_again() -> None:
    failed = e.StartFailed("what", why="why", fix="fix", will_retry=True)

    assert openai_error(failed).headers["x-should-retry"] == "true"


@pytest.mark.parametrize("kind", [*(row[0] for row in TREE), RemoteFailed])
def test_an_error_passes_from_one_process_to_another(kind: type[e.LocalLLMError]) -> None:
    error = kind("what", why="why", fix="fix")
    error.retryable = not error.retryable
    passed = pickle.loads(pickle.dumps(error))

    assert (type(passed), str(passed)) == (kind, str(error))
    assert passed.retryable is error.retryable


def test_what_only_one_kind_of_error_knows_passes_too() -> None:
    error = HeaderIncomplete("what", why="why", fix="fix", needed_bytes=4096)

    assert pickle.loads(pickle.dumps(error)).needed_bytes == error.needed_bytes


def test_a_bug_does_not_leak_its_cause() -> None:
    assert "secret" not in str(openai_error(KeyError("secret")))
