"""Of an answer's end it is read what the answer took."""

from __future__ import annotations

import pytest

from localllm.gateway.usage import TAIL_BYTES, Tokens, tokens_in_document, tokens_in_tail

TIMINGS = b'"timings":{"cache_n":20,"prompt_n":5,"predicted_n":7,"prompt_ms":1.5}'
USAGE = (
    b'"usage":{"prompt_tokens":25,"completion_tokens":7,"total_tokens":32,'
    b'"prompt_tokens_details":{"cached_tokens":20},'
    b'"completion_tokens_details":{"reasoning_tokens":3}}'
)
DONE = b"data: [DONE]\n\n"
WORD = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'


@pytest.mark.parametrize(
    ("tail", "tokens"),
    [
        (WORD + b"data: {" + USAGE + b"}\n\n" + DONE, Tokens(25, 20, 7, 3)),
        (WORD + b"data: {" + TIMINGS + b"}\n\n" + DONE, Tokens(25, 20, 7, read_s=0.0015)),
        (
            WORD + b"data: {" + USAGE + b"," + TIMINGS + b"}\n\n" + DONE,
            Tokens(25, 20, 7, 3, 0.0015),
        ),
        (WORD + DONE, None),
        (
            b'el":"cut","x":1}\n\ndata: {' + TIMINGS + b"}\n\n" + DONE,
            Tokens(25, 20, 7, read_s=0.0015),
        ),
        (b"data: {broken\n\n" + DONE, None),
        (b"", None),
    ],
)
def test_a_streams_last_bytes_say_what_it_took(tail: bytes, tokens: Tokens | None) -> None:
    assert len(tail) <= TAIL_BYTES
    assert tokens_in_tail(tail) == tokens


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b"{" + USAGE + b"}", Tokens(25, 20, 7, 3)),
        (b'{"usage":{"prompt_tokens":9,"total_tokens":9}}', Tokens(9, 0, 0)),
        (b'{"choices":[]}', None),
        (b"<html>", None),
        (b'{"usage":null}', None),
    ],
)
def test_a_document_says_what_it_took(body: bytes, tokens: Tokens | None) -> None:
    assert tokens_in_document(body) == tokens


def test_what_an_engine_says_of_its_cache_counts_where_its_usage_does_not() -> None:
    usage = b'"usage":{"prompt_tokens":25,"completion_tokens":7}'

    assert tokens_in_document(b"{" + usage + b"," + TIMINGS + b"}") == Tokens(
        25, 20, 7, read_s=0.0015
    )
