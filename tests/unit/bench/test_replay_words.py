"""Words are found that are a token each, also for an odd vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from localllm.bench.replay_words import LEAST, find_words

pytestmark = pytest.mark.anyio


def counting(tokens: Callable[[str], int | None]) -> tuple[Callable, list[str]]:
    asked: list[str] = []

    async def count(text: str) -> int | None:
        asked.append(text)
        return tokens(text)

    return count, asked


async def test_two_questions_do_where_every_word_is_a_token() -> None:
    count, asked = counting(lambda text: 1 + len(text.split()))

    words = await find_words(count)

    assert (words.before, words.is_exact, len(asked)) == (1, True, 2)
    assert len(words.words) > 100
    assert all(word.startswith(" ") for word in words.words)
    assert len(set(words.words)) == len(words.words)


async def test_words_that_are_two_tokens_are_left_out() -> None:
    count, _ = counting(lambda text: sum(1 + (word in {"people", "mind"}) for word in text.split()))

    words = await find_words(count)

    assert words.is_exact
    assert {" people", " mind"}.isdisjoint(words.words)
    assert len(words.words) > 100


@pytest.mark.parametrize(
    "tokens", [lambda _: None, len, lambda _: 0, lambda text: int(len(text) / 3.5)]
)
async def test_where_nobody_can_tell_it_is_not_exact(tokens: Callable[[str], int | None]) -> None:
    count, _ = counting(tokens)

    words = await find_words(count)

    assert not words.is_exact
    assert len(words.words) >= LEAST
