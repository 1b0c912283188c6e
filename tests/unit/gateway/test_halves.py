r"""A text that was cut within an emoji is mended: no JSON parser but JavaScript's takes `\ud83d`."""

from __future__ import annotations

import json

import pytest

from localllm.gateway.halves import with_whole_characters


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"a\ud83d", "a\ufffd"),
        (rb"\ude00b", "\ufffdb"),
        (rb"\uD83D\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\ud83d\n", "\ufffd\n"),
        (rb"\\ud83d", r"\ud83d"),
        (rb"\\\ud83d", "\\\ufffd"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"caf\u00e9", "caf\u00e9"),
    ],
)
def test_half_a_character_becomes_the_mark_for_one_that_is_lost(written: bytes, read: str) -> None:
    mended = with_whole_characters(b'{"text":"' + written + b'"}')

    assert json.loads(mended) == {"text": read}
    assert with_whole_characters(mended) == mended


def test_what_has_no_halves_is_not_written_anew() -> None:
    body = rb'{"text":"caf\u00e9 \ud83d\ude00"}'

    assert with_whole_characters(body) == body
