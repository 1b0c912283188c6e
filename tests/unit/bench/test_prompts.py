"""Prompts that are as long as asked, for tokenizers of several kinds, and that no cache has seen."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from localllm.bench.points import Point
from localllm.bench.prompts import Message, Prompter
from localllm.bench.shots import Shot

WORDS = [f" word{n}" for n in range(50)]
POINT = Point(depth_tokens=400, at_once=1, prompt_tokens=64, answer_tokens=8, is_warm=True)


def by_words(chat: Sequence[Message]) -> int:
    """A template of 7 tokens for each message and 3 at the end; a word is a token."""
    return 3 + sum(7 + len(message["content"].split()) for message in chat)


def by_pairs(chat: Sequence[Message]) -> int:
    """Every word with a 7 in it is two tokens."""
    return by_words(chat) + sum(message["content"].count("7") for message in chat)


def by_bytes(chat: Sequence[Message]) -> int:
    """Nobody can tell: an estimate."""
    return sum(len(message["content"]) for message in chat) // 4


def chat_of(shot: Shot) -> list[Message]:
    messages: list[Message] = json.loads(shot.body)["messages"]
    return messages


@pytest.mark.parametrize("count", [by_words, by_pairs])
def test_a_prompt_has_exactly_the_tokens_that_were_asked_for(count: object) -> None:
    prompter = Prompter("m", WORDS, count, run="r")  # type: ignore[arg-type]
    for name in ("a", "b", "c"):
        assert count(chat_of(prompter.cold(POINT, name))) == 464  # type: ignore[operator]
    assert prompter.inexact == 0


def test_a_prompt_that_goes_on_begins_with_what_fills_the_context() -> None:
    prompter = Prompter("m", WORDS, by_words, run="r")
    filling = prompter.filling(POINT, "fill")

    first, second = (chat_of(prompter.going_on(filling, POINT, n)) for n in "ab")

    assert by_words(filling) == 400
    assert first[:1] == second[:1] == filling
    assert by_words(first) == by_words(second) == 464
    assert first[2] != second[2]


def test_two_prompts_have_no_beginning_in_common_and_two_runs_neither() -> None:
    one, other = (Prompter("m", WORDS, by_words, run=run) for run in ("1", "2"))

    texts = [chat_of(p.cold(POINT, n))[0]["content"] for p in (one, other) for n in ("a", "b")]

    assert len({text[:60] for text in texts}) == 4


def test_a_count_that_is_an_estimate_is_told_and_ends() -> None:
    prompter = Prompter("m", WORDS, by_bytes, run="r")

    prompter.cold(POINT, "a")

    assert prompter.inexact in {0, 1}


def test_an_answer_has_a_fixed_length_and_no_chance_in_it() -> None:
    body = json.loads(Prompter("m", WORDS, by_words, run="r").cold(POINT, "a").body)

    assert (body["max_tokens"], body["ignore_eos"], body["temperature"]) == (8, True, 0)
    assert body["stream"]
    assert body["stream_options"] == {"include_usage": True}


def test_a_template_is_learned_so_that_most_prompts_are_counted_once() -> None:
    asked = 0

    def count(chat: Sequence[Message]) -> int:
        nonlocal asked
        asked += 1
        return by_words(chat)

    prompter = Prompter("m", WORDS, count, run="r")
    prompter.cold(POINT, "first")
    asked = 0
    for n in range(10):
        prompter.cold(POINT, str(n))

    assert asked == 10
