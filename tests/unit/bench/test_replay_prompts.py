"""What is sent goes on from what was sent and said, and is as long as what was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localllm.api.traffic_file import Shape
from localllm.bench.replay_prompts import CHAT, COMPLETIONS, Prompts, Said, has_answer
from localllm.bench.replay_texts import Texts, begins_of
from tests.unit.bench.a_shape import a_shape

WORDS = [f" w{number}" for number in range(200)]
FIRST = a_shape(1, hash_ids=[0, 1])
SECOND = a_shape(2, input_length=60, hash_ids=[0, 2], goes_on_from=1, cached_tokens=47)
"""Of 40 tokens and an answer of 8 all but one were cached."""

ANSWER = Said(" It said this .", 8)


def prompts_of(*shapes: Shape, before: int = 0) -> Prompts:
    return Prompts("m", Texts(WORDS, 32, begins_of(shapes, 32)), shapes, before)


def sent(prompts: Prompts, shape: Shape) -> dict[str, Any]:
    return dict(json.loads(prompts.shot_of(shape).body))


def test_a_prompt_is_words_for_its_tokens_and_its_answer_as_long_as_it_was() -> None:
    body = sent(prompts_of(FIRST), FIRST)

    assert len(body["prompt"].split()) == 40
    assert (body["max_tokens"], body["ignore_eos"], body["stream"]) == (8, True, True)
    assert body["stream_options"] == {"include_usage": True}


def test_tokens_that_the_engine_puts_before_a_prompt_are_not_words() -> None:
    assert len(sent(prompts_of(FIRST, before=1), FIRST)["prompt"].split()) == 39


def test_a_turn_has_the_answer_before_it_in_it() -> None:
    prompts = prompts_of(FIRST, SECOND)
    first = sent(prompts, FIRST)["prompt"]
    prompts.answered(1, ANSWER)

    second = sent(prompts, SECOND)["prompt"]

    assert second.startswith(first + ANSWER.text + " w")
    assert len(second.removeprefix(first + ANSWER.text).split()) == 60 - 40 - 8


def test_a_turn_that_comes_before_the_answer_goes_on_without_it() -> None:
    prompts = prompts_of(FIRST, SECOND)
    first = sent(prompts, FIRST)["prompt"]

    second = sent(prompts, SECOND)["prompt"]

    assert second.startswith(first + " w")
    assert len(second.split()) == 60


def test_the_turns_after_it_go_on_from_what_was_sent() -> None:
    third = a_shape(3, input_length=80, hash_ids=[0, 2, 3], goes_on_from=2, cached_tokens=67)
    prompts = prompts_of(FIRST, SECOND, third)
    sent(prompts, FIRST)
    prompts.answered(1, ANSWER)
    second = sent(prompts, SECOND)["prompt"]
    prompts.answered(2, Said(" And that .", 8))

    assert sent(prompts, third)["prompt"].startswith(second + " And that . w")


@pytest.mark.parametrize(
    ("cached", "length", "expected"),
    [
        (47, 60, True),
        (48, 60, True),
        (40, 60, False),  # all of the prompt, and nothing of the answer: its thoughts are left out
        (0, 60, True),  # another one had taken its place, which tells nothing
        (None, 60, True),
        (47, 47, False),  # no room for it
    ],
)
def test_whether_a_prompt_had_the_answer_is_told_by_what_was_cached(
    cached: int | None, length: int, expected: bool
) -> None:
    shape = a_shape(2, input_length=length, goes_on_from=1, cached_tokens=cached)

    assert has_answer(shape, FIRST) is expected


def test_an_answer_that_was_left_out_then_is_left_out_now() -> None:
    without = a_shape(2, input_length=60, hash_ids=[0, 2], goes_on_from=1, cached_tokens=40)
    prompts = prompts_of(FIRST, without)
    sent(prompts, FIRST)
    prompts.answered(1, ANSWER)

    assert ANSWER.text not in sent(prompts, without)["prompt"]


def test_texts_are_kept_only_for_as_long_as_somebody_goes_on_from_them() -> None:
    prompts = prompts_of(FIRST, SECOND)
    sent(prompts, FIRST)
    assert prompts.is_gone_on_from(1)
    sent(prompts, SECOND)

    prompts.answered(1, ANSWER)

    assert not prompts.is_gone_on_from(1)
    assert (prompts._sent, prompts._said) == ({}, {})


def test_two_conversations_are_two_for_the_daemon_too() -> None:
    shapes = [a_shape(n, conversation=n, hash_ids=[n, n + 5]) for n in (1, 2)]
    prompts = prompts_of(*shapes)

    keys = {sent(prompts, shape)["prompt_cache_key"] for shape in shapes}

    assert len(keys) == 2
    assert "prompt_cache_key" not in sent(prompts_of(FIRST), FIRST)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 9}, CHAT),
        ({"prompt": "once", "n_predict": 9}, COMPLETIONS),
    ],
)
def test_a_prompt_that_was_kept_is_sent_itself(body: dict[str, Any], path: str) -> None:
    shape = a_shape(1, body={**body, "model": "old"})
    shot = prompts_of(shape).shot_of(shape)
    said = json.loads(shot.body)

    assert shot.path == path
    assert (said["model"], said["max_tokens"], said["stream"]) == ("m", 8, True)
    assert said.keys() & {"max_completion_tokens", "n_predict"} == set()
    assert {k: said[k] for k in ("messages", "prompt") if k in body} == {
        k: v for k, v in body.items() if k in {"messages", "prompt"}
    }
