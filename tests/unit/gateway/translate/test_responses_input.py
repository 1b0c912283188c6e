"""The text that a model gives to a tool, read while it comes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.gateway.translate.responses_input import InputReader


def read(*pieces: str) -> tuple[str, str]:
    """What was read while the pieces came, and what only at their end."""
    reader = InputReader()
    streamed = "".join(reader.feed(piece) for piece in pieces)
    return streamed, reader.finish()


def test_what_has_come_is_read_at_once() -> None:
    reader = InputReader()

    assert [reader.feed(p) for p in ('{"in', 'put": "*** Be', "gin\\", 'n"', "}")] == [
        "",
        "*** Be",
        "gin",
        "\n",
        "",
    ]
    assert reader.finish() == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input": "a\nb"}', "a\nb"),
        ('{"input": "a", "more": 1}', "a"),
        ('{"input": ""}', ""),
        (r'{"input": "\ud83d\ude00"}', "\U0001f600"),
        (r'{"input": "a\ud83db"}', "a\ufffdb"),
        (r'{"input": "\udc00"}', "\ufffd"),
        (r'{"input": "\d+\n"}', "\\d+\n"),
        (r'{"input": "a\u00', "a\\u00"),
        ('{"input": "cut', "cut"),
        ('{"more": 1, "input": "a"}', "a"),
        ('{"patch": "a"}', "a"),
        ('"a"', "a"),
        ("*** Begin Patch\nall of it as it is" + "." * 80, None),
        ('{"a": "x", "b": "y"}', None),
        ("[1, 2]", None),
        ("", ""),
    ],
)
def test_nothing_that_a_model_writes_is_lost(arguments: str, text: str | None) -> None:
    expected = arguments if text is None else text

    for pieces in ([arguments], list(arguments)):
        assert "".join(read(*pieces)) == expected


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(),
    is_ascii=st.booleans(),
    cuts=st.lists(st.integers(0, 300), max_size=10),
)
def test_any_text_cut_anywhere_is_read_while_it_comes(
    text: str, is_ascii: bool, cuts: list[int]
) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=is_ascii)
    places = sorted({cut % (len(arguments) + 1) for cut in cuts})
    pieces = [arguments[i:j] for i, j in zip([0, *places], [*places, len(arguments)], strict=True)]

    assert read(*pieces) == (text, "")


@settings(max_examples=100, deadline=None)
@given(arguments=st.text(alphabet='{}"\\:input ud83cd\n', max_size=60))
def test_any_nonsense_is_read_as_a_text_that_can_be_sent(arguments: str) -> None:
    "".join(read(*arguments)).encode()
