"""What goes to the remote, under which name, and what its refusals mean."""

from __future__ import annotations

import json

import msgspec
import pytest

from localllm import errors as e
from localllm.config.remote import Remote
from localllm.gateway.http_errors import openai_error
from localllm.gateway.remote_rules import (
    RemoteFailed,
    after,
    broken_off,
    for_remote,
    may_go,
    name_there,
    not_reached,
    remote_error,
)

HOST = "api.example"
KEY = "sk-" + "k" * 40
BOTH = Remote(url="https://api.example/v1", when=("overflow", "fallback"))


def an(kind: type[e.LocalLLMError]) -> e.LocalLLMError:
    return kind("small failed.", why="so", fix="this")


def only(*when: str, **more: object) -> Remote:
    return msgspec.convert({"url": BOTH.url, "when": when, **more}, Remote)


@pytest.mark.parametrize(
    ("kind", "overflow", "fallback"),
    [
        (e.Busy, True, False),
        (e.StartFailed, False, True),
        (e.StillLoading, False, True),
        (e.NotReady, False, True),
        (e.EngineGone, False, True),
        (e.BadRequest, False, False),
        (e.ContextTooLong, False, False),
        (e.TooLarge, False, False),
        (e.ModelNotFound, False, False),
        (e.DoesNotFit, False, False),
        (e.Unauthorized, False, False),
    ],
)
def test_what_failed_here_goes_there_if_its_kind_is_named_and_never_a_clients_mistake(
    kind: type[e.LocalLLMError], *, overflow: bool, fallback: bool
) -> None:
    said = [may_go(an(kind), "small", only(*when)) for when in (["overflow"], ["fallback"], [])]

    assert said == [overflow, fallback, False]


@pytest.mark.parametrize(
    ("name", "when", "goes"),
    [
        ("large", ["fallback"], True),
        ("large", ["overflow"], False),
        ("other", ["fallback"], False),
        (None, ["fallback"], False),
    ],
)
def test_what_nothing_serves_here_goes_there_only_if_it_is_listed(
    name: str | None, when: list[str], *, goes: bool
) -> None:
    remote = only(*when, models={"large": "large-2026"}, model="any")

    assert may_go(an(e.ModelNotFound), name, remote) is goes


@pytest.mark.parametrize(
    ("more", "asked", "there"),
    [
        ({}, "tiny", "tiny"),
        ({}, None, "small"),
        ({"model": "big"}, "tiny", "big"),
        ({"model": "big"}, None, "big"),
        ({"model": "big", "models": {"tiny": "t"}}, "tiny", "t"),
        ({"model": "big", "models": {"small": "s"}}, "tiny", "s"),
        ({"models": {"small": "s", "tiny": "t"}}, "tiny", "t"),
        ({"models": {"small": "s"}}, None, "s"),
        ({"models": {"other": "o"}}, "tiny", "tiny"),
    ],
)
def test_the_name_there_is_the_listed_one_then_the_general_one_then_the_one_asked_for(
    more: dict[str, object], asked: str | None, there: str
) -> None:
    assert name_there(asked, asked, "small", only("fallback", **more)) == there


@pytest.mark.parametrize(
    ("asked", "means", "there"),
    [
        ("coding:fast", "small", "small"),
        ("gpt-5", "localllm", "gpt-5"),
        ("localllm", "localllm", "tiny"),
        ("large", "small", "l"),
    ],
)
def test_a_name_that_means_something_here_alone_is_not_sent(
    asked: str, means: str, there: str
) -> None:
    remote = only("fallback", models={"large": "l"})

    assert name_there(asked, means, "tiny", remote) == there


@pytest.mark.parametrize(
    ("body", "there"),
    [
        (
            b'{"timings_per_token":true,"model":"m","return_progress":true,"top_k":1}',
            b'{"model":"big","top_k":1}',
        ),
        (
            b'{"model":"small","messages":[{"a": [1, 2 ]}]}',
            b'{"model":"big","messages":[{"a": [1, 2 ]}]}',
        ),
        (b'{"x":1.50,"y":1e400,"model":"a"}', b'{"x":1.50,"y":1e400,"model":"big"}'),
        (b'{"messages":[{"model":"a"}]}', b'{"messages":[{"model":"a"}],"model":"big"}'),
        (b'{"model":null,"s":"\\u00e9\xc3\xa9"}', b'{"model":"big","s":"\\u00e9\xc3\xa9"}'),
        (b'{"mod\\u0065l":"a"}', b'{"model":"big"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"big"}'),
        (b"{}", b'{"model":"big"}'),
    ],
)
def test_of_a_request_the_models_name_alone_is_changed(body: bytes, there: bytes) -> None:
    assert for_remote(body, "big") == there


def test_a_models_name_may_have_any_letter() -> None:
    assert json.loads(for_remote(b"{}", 'a"b\\é\n')) == {"model": 'a"b\\é\n'}


def test_a_member_whose_name_is_no_text_is_the_clients_mistake() -> None:
    with pytest.raises(e.BadRequest):
        for_remote(b'{"\xff":1}', "big")


def refused(**detail: object) -> bytes:
    return json.dumps({"error": detail}).encode()


@pytest.mark.parametrize(
    ("status", "ours", "code", "retry"),
    [
        (400, 400, "bad_request", "false"),
        (413, 400, "bad_request", "false"),
        (422, 400, "bad_request", "false"),
        (401, 502, "remote_failed", "false"),
        (403, 502, "remote_failed", "false"),
        (402, 502, "remote_failed", "false"),
        (404, 502, "remote_failed", "false"),
        (301, 502, "remote_failed", "false"),
        (308, 502, "remote_failed", "false"),
        (204, 502, "remote_failed", "false"),
        (408, 502, "remote_failed", "true"),
        (429, 429, "busy", "true"),
        (500, 502, "remote_failed", "true"),
        (529, 502, "remote_failed", "true"),
    ],
)
def test_a_refusal_there_is_an_error_here_of_the_same_kind(
    status: int, ours: int, code: str, retry: str
) -> None:
    error = remote_error(HOST, status, refused(message="no such thing", code=None), KEY)
    reply = openai_error(error)

    assert (reply.status, error.code, reply.headers["x-should-retry"]) == (ours, code, retry)
    assert ("Retry-After" in reply.headers) == (ours == 429)
    assert str(status) in error.why
    assert HOST in str(error)


def test_a_prompt_too_long_there_is_told_as_one_here() -> None:
    body = refused(message="maximum context is 8 tokens", code="context_length_exceeded")

    error = remote_error(HOST, 400, body, KEY)

    assert (type(error), error.what) == (e.ContextTooLong, "maximum context is 8 tokens")


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        refused(message=f"Incorrect API key provided: {KEY}."),
        f"<html>Authorization: Bearer {KEY}".encode(),
        b"x" * 390 + KEY.encode(),  # what is quoted would end within the key
        refused(message="x" * 390 + KEY),
    ],
    ids=["said", "page", "cut", "cut message"],
)
def test_no_error_has_a_part_of_the_key(status: int, body: bytes) -> None:
    error = remote_error(HOST, status, body, KEY)

    assert KEY[:8] not in str(error)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[" * 100_000, b'{"error":"text"}', b'{"error":{"message":7}}'],
    ids=["nothing", "no text", "deep", "a text", "a number"],
)
def test_a_refusal_that_cannot_be_read_is_quoted_in_part(body: bytes) -> None:
    error = remote_error(HOST, 500, body, None)

    assert type(error) is RemoteFailed
    assert len(error.why) < 600


@pytest.mark.parametrize(
    ("first", "failure", "retry"),
    [
        (e.Busy, remote_error(HOST, 401, b"", KEY), True),
        (e.StartFailed, remote_error(HOST, 401, b"", KEY), False),
        (e.StartFailed, remote_error(HOST, 500, b"", KEY), True),
        (e.Busy, remote_error(HOST, 400, b"", KEY), False),
        (e.StartFailed, not_reached(HOST, OSError("no route")), True),
        (e.StartFailed, broken_off(HOST), True),
    ],
)
def test_two_failures_are_both_told_and_worth_a_retry_if_either_may_pass(
    first: type[e.LocalLLMError], failure: e.LocalLLMError, *, retry: bool
) -> None:
    before = failure.why

    told = after(an(first), failure)

    assert told.why == f"{before}; it was asked because: small failed."
    assert told.retryable is retry
