"""Answers of a chat read out of their events, and measured. No screen."""

from __future__ import annotations

import json

import pytest

from localllm.tui.chat_stream import (
    Broken,
    Counted,
    Cut,
    Measured,
    Said,
    Thought,
    Turn,
    harmless_markdown,
    parse_line,
    request_of,
)


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        (b'data: {"choices":[{"delta":{"content":"hi"}}]}\n', [Said("hi")]),
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


def test_speed_counts_from_the_first_token_and_by_what_the_engine_counted() -> None:
    measured = Measured(asked_at=10.0)
    for at in (12.0, 13.0, 14.0):
        measured.see(Said("x"), at)
    assert measured.line() == "about 3 tokens, 1.0 tok/s, first after 2.0 s"

    measured.see(Counted(21), 14.1)

    assert measured.line() == "21 tokens, 10.0 tok/s, first after 2.0 s"
    assert measured.line("stopped").endswith(", stopped")


def test_an_answer_that_was_cut_off_says_so_and_one_without_a_token_has_no_speed() -> None:
    measured = Measured(asked_at=0.0)
    assert measured.line() == "no token has come yet"
    measured.see(Thought("x"), 1.0)
    measured.see(Cut(), 1.0)

    assert (
        measured.line() == "about 1 token, - tok/s, first after 1.0 s, cut off: the context is full"
    )


def test_markdown_keeps_its_lines_and_loses_what_a_terminal_would_obey() -> None:
    assert harmless_markdown("a\r\n\tb\x1b[31m\n\u202ec") == "a\n    b?[31m\n?c"
