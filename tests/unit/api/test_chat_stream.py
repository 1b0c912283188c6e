"""Answers of a chat read out of their events."""

from __future__ import annotations

import json

import pytest

from localllm.api.chat_stream import (
    Broken,
    Counted,
    Cut,
    Said,
    Thought,
    Turn,
    parse_line,
    request_of,
)


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        (b'data: {"choices":[{"delta":{"content":"hi"}}]}\n', [Said("hi")]),
        (b'data:{"choices":[{"delta":{"content":"hi"}}]}\n', [Said("hi")]),
        (b'data: {"choices":[{"delta":null}]}\n', []),
        (b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}\n', [Thought("hm")]),
        (b'data: {"choices":[{"delta":{"reasoning":"hm"}}]}\n', [Thought("hm")]),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n', []),
        (b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n', [Cut()]),
        (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n', []),
        (b'data: {"choices":[],"usage":{"completion_tokens":7}}\n', [Counted(7)]),
        (b'data: {"error":{"message":"The engine died.\\nSIGKILL"}}\n', [Broken("The engine died.\nSIGKILL")]),
        (b"data: [DONE]\n", []),
        (b": still here\n", []),
        (b"event: x\n", []),
        (b"data: no json\n", []),
        (b"data: [1]\n", []),
        (b"\n", []),
    ],
)  # fmt: skip
def test_each_line_says_what_it_says_and_no_more(line: bytes, pieces: list[object]) -> None:
    assert list(parse_line(line)) == pieces


def test_a_request_holds_all_that_was_said_and_asks_for_the_count() -> None:
    body = json.loads(request_of("m", [Turn("user", "a"), Turn("assistant", "b")]))

    assert body["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]
    assert body["stream_options"] == {"include_usage": True}
