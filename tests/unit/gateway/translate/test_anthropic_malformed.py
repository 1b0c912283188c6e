"""Whatever a client sends, it is translated or refused in words; nothing else can happen."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import BadRequest
from localllm.gateway.requests.document import MOST_MARKS
from localllm.gateway.translate.anthropic_request import count_tokens_request, messages_request

WHOLE: dict[str, Any] = {
    "model": "a-model",
    "max_tokens": 100,
    "stream": True,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}},
                {
                    "type": "document",
                    "title": "A",
                    "source": {"type": "content", "content": [{"type": "text", "text": "b"}]},
                },
                {
                    "type": "search_result",
                    "source": "a",
                    "title": "b",
                    "content": [{"type": "text", "text": "c"}],
                },
            ],
        },
        {"role": "system", "content": "Be kind."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": [1]}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": True,
                    "content": [{"type": "tool_reference", "tool_name": "g"}],
                }
            ],
        },
    ],
    "tools": [
        {"name": "f", "description": "Does.", "input_schema": {"type": "object"}},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {}}},
    "stop_sequences": ["END"],
    "temperature": 1.0,
    "top_p": 0.9,
    "top_k": 40,
    "chat_template_kwargs": {"x": 1},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("a[$`", max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "source", "name", "$"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


def places(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something can be wrong."""
    if not isinstance(node, dict | list):
        return []
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return [place for key, value in items for place in [(*at, key), *places(value, (*at, key))]]


PLACES = places(WHOLE)


def spoiled(place: tuple[Any, ...], value: Any, *, is_gone: bool) -> bytes:
    whole = copy.deepcopy(WHOLE)
    node = whole
    for key in place[:-1]:
        node = node[key]
    if is_gone:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return json.dumps(whole).encode()


def test_all_of_it_is_a_request() -> None:
    assert messages_request(json.dumps(WHOLE).encode(), str).is_stream
    assert len(PLACES) > 60


def outcome(read: Callable[[bytes], dict[str, object]], body: bytes) -> Any:
    try:
        return read(body)
    except BadRequest as error:
        return error


def messages_chat(body: bytes) -> dict[str, object]:
    return messages_request(body, str).chat


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), JSON, st.booleans())
def test_a_spoiled_request_is_translated_or_the_wrong_field_is_named(
    place: tuple[Any, ...], value: Any, is_gone: bool
) -> None:
    body = spoiled(place, value, is_gone=is_gone)

    for read in (count_tokens_request, messages_chat):
        found = outcome(read, body)
        if isinstance(found, BadRequest):
            assert found.param is not None
            assert found.param.startswith((str(place[0]), "tool_choice.name"))
        else:
            assert msgspec.json.encode(found)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=30) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_request_is_refused(body: bytes) -> None:
    assert isinstance(outcome(messages_chat, body), BadRequest)


def test_a_body_that_is_too_much_work_is_not_parsed() -> None:
    lists = b"[" + b"[]," * MOST_MARKS + b"[]]"
    body = b'{"model": "a", "max_tokens": 1, "messages": [], "unknown": %s}' % lists

    for read in (count_tokens_request, messages_chat):
        with pytest.raises(BadRequest, match="JSON object") as refused:
            read(body)
        assert str(MOST_MARKS) in refused.value.why
