"""What of a request is its prompt, as far as going on with an earlier one is concerned."""

from __future__ import annotations

import pytest

from localllm.gateway.prompt_parts import prompt_parts

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def test_a_chat_is_its_tools_and_then_its_messages_as_they_were_written() -> None:
    body = (
        b'{"messages": [{"role": "user",  "content":"hi"}, {"a":1}], "tools": [ {"b":2} ], "n": 1}'
    )

    assert prompt_parts(CHAT, body) == [
        b'[ {"b":2} ]',
        b'{"role": "user",  "content":"hi"}',
        b'{"a":1}',
    ]


def test_a_turn_more_only_adds_to_it() -> None:
    first = prompt_parts(CHAT, b'{"tools":[1],"messages":[{"a":1}],"temperature":0}')
    second = prompt_parts(CHAT, b'{"tools":[1],"messages":[{"a":1},{"b":2}],"temperature":1}')

    assert list(second[: len(first)]) == list(first)


@pytest.mark.parametrize(
    ("path", "body", "parts"),
    [
        (COMPLETIONS, b'{"prompt":"once upon"}', [b'"once upon"']),
        (COMPLETIONS, b'{"prompt":["once", "twice"]}', []),
        (COMPLETIONS, b'{"prompt":"once","n":2}', []),
        (CHAT, b'{"messages":[1],"n":3}', []),
        (CHAT, b'{"messages":[1],"n":1,"n_cmpl":null}', [b"1"]),
        ("/v1/embeddings", b'{"input":"x"}', []),
        (CHAT, b"{}", []),
        (CHAT, b'{"messages":"no list"}', []),
        (CHAT, b"no json", []),
        (CHAT, b"[" * 100_000, []),
    ],
)
def test_what_is_no_chat_has_no_parts_but_a_completion_its_prompt(
    path: str, body: bytes, parts: list[bytes]
) -> None:
    assert list(prompt_parts(path, body)) == parts
