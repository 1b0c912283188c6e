"""Whatever arrives is allowed or a bad request in OpenAI's shape; nothing else is ever raised."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import BadRequest
from localllm.gateway.http_errors import openai_error
from localllm.gateway.requests.bounds import Limits
from localllm.gateway.requests.chat import ChatHead, check_chat
from localllm.gateway.requests.completions import check_completion
from localllm.gateway.requests.embeddings import check_embeddings
from localllm.gateway.requests.rerank import check_rerank
from tests.unit.gateway.requests.a_request import (
    LIMITS,
    PIXEL,
    Document,
    a_chat,
    a_completion,
    a_tool,
    as_body,
)

Check = Callable[[bytes], object]

FULL_CHAT: Document = {
    "model": "small",
    "stream": True,
    "stream_options": {"include_usage": True},
    "messages": [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "seen"},
    ],
    "tools": [a_tool("look", properties={"at": {"type": "string"}}, required=["at"])],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    "n": 2,
    "max_tokens": 100,
    "temperature": 0.5,
    "logprobs": True,
    "top_logprobs": 3,
    "stop": ["a", "b"],
    "logit_bias": {"7": -1},
    "seed": 7,
    "lora": [{"id": 0, "scale": 0.5}],
    "chat_template_kwargs": {"enable_thinking": False},
    "unknown": {"kept": [1, 2.5, None, True]},
}
FULL_TEXT = a_completion(suffix="return x", stop="\n", logprobs=2, max_tokens=5, best_of=1)
FULL_EMBEDDINGS = {"model": "e", "input": [[1, 2], [3]], "encoding_format": "base64"}
FULL_RERANK = {"query": "a", "documents": ["b", {"text": "c"}], "top_n": 1, "model": "r"}

EVERY: list[tuple[Check, Document]] = [
    (lambda body: check_chat(body, LIMITS), FULL_CHAT),
    (lambda body: check_completion(body, LIMITS), FULL_TEXT),
    (check_embeddings, FULL_EMBEDDINGS),
    (check_rerank, FULL_RERANK),
]

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, "x" * 300, PIXEL, "http://a", 0, -1]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths into a document."""
    if not isinstance(value, dict | list):
        return [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@st.composite
def with_wrong_values(draw: st.DrawFn) -> tuple[Check, bytes]:
    check, document = draw(st.sampled_from(EVERY))
    for _ in range(draw(st.integers(1, 3))):
        document = changed(document, draw(st.sampled_from(places(document))), draw(JSON))
        if not isinstance(document, dict | list):
            break
    return check, as_body(document)


@st.composite
def with_wrong_bytes(draw: st.DrawFn) -> tuple[Check, bytes]:
    check, document = draw(st.sampled_from(EVERY))
    body = as_body(document)
    begin = draw(st.integers(0, len(body)))
    end = draw(st.integers(begin, min(len(body), begin + 20)))
    junk = st.binary(max_size=6) | st.sampled_from(
        [b"[" * 2000, b'{"a":' * 2000, b"\\ud800", b"1e999", b"NaN", b'"model":"x",', b"-", b"\\"]
    )
    return check, body[:begin] + draw(junk) + body[end:]


def refusal(check: Check, body: bytes) -> BadRequest | None:
    try:
        check(body)
    except BadRequest as error:
        return error
    return None


def assert_answered(check: Check, body: bytes) -> None:
    error = refusal(check, body)
    if error is None:
        return
    reply = openai_error(error)
    assert reply.status == 400
    assert set(reply.body["error"]) == {"message", "type", "param", "code"}
    assert json.dumps(reply.body).isascii()
    assert len(str(error)) < 6000


@given(with_wrong_values())
@settings(max_examples=500, deadline=None, derandomize=True)
def test_a_body_with_any_values_is_allowed_or_a_bad_request(case: tuple[Check, bytes]) -> None:
    assert_answered(*case)


@given(with_wrong_bytes())
@settings(max_examples=500, deadline=None, derandomize=True)
def test_a_body_with_any_bytes_is_allowed_or_a_bad_request(case: tuple[Check, bytes]) -> None:
    assert_answered(*case)


NUMBERS = ("n", "max_tokens", "temperature", "top_p", "seed", "top_k", "repeat_penalty", "n_probs")
NO_NUMBER = (
    st.text() | st.booleans() | st.lists(JSON, max_size=2) | st.dictionaries(st.text(), JSON)
)


@given(st.sampled_from(NUMBERS), NO_NUMBER)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_is_no_number_where_one_belongs_is_refused_by_that_name(
    name: str, value: object
) -> None:
    for check, document in EVERY[:2]:
        with pytest.raises(BadRequest) as caught:
            check(as_body({**document, name: value}))
        assert caught.value.param == name


@given(st.dictionaries(st.text(min_size=1, max_size=8).map("own_".__add__), JSON, max_size=4))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_whatever_is_allowed_is_passed_on_as_it_came(more: Document) -> None:
    body = json.dumps(a_completion(**more), indent=2).encode()

    assert check_completion(body, LIMITS).body is body
    assert check_chat(as_body(a_chat(**more)), Limits()) == ChatHead(stream=False, chosen_tool=None)
