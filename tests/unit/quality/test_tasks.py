"""The judges of tasks, and which tasks there are."""

from __future__ import annotations

import pytest

from localllm.paths import bundled_profiles
from localllm.quality.odd_answers import loop_in, markup_in
from localllm.quality.speaking import Reply
from localllm.quality.tasks import (
    MONTHS,
    Task,
    contains,
    counts_to,
    ends_in_number,
    haystack,
    is_clean,
    is_list_of,
    judge,
    tasks_for,
)
from localllm.quality.texts import read_texts

TEXTS = read_texts(bundled_profiles())


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("17 + 25 = 42.", True),
        ("42", True),
        ("The 17 and the 25 make 52", False),
        ("many", False),
        ("42, no, 43", False),
    ],
)
def test_the_last_number_of_a_sum_counts(answer: str, passes: bool) -> None:
    assert (ends_in_number(42)(answer) is None) is passes


@pytest.mark.parametrize(
    ("answer", "passes"),
    [("1, 2, 3", True), ("1 2 3 4", False), ("1, 3", False), ("one", False), ("1,\n2,\n3.", True)],
)
def test_numbers_are_counted_in_order_without_a_gap(answer: str, passes: bool) -> None:
    assert (counts_to(3)(answer) is None) is passes


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ('["a", "b"]', True),
        ('```json\n["a", "b"]\n```', True),
        ('["a"]', False),
        ("[1, 2]", False),
        ('{"a": 1}', False),
        ("a, b", False),
    ],
)
def test_a_list_is_json_of_so_many_texts(answer: str, passes: bool) -> None:
    assert (is_list_of(2)(answer) is None) is passes


def test_a_text_is_found_whatever_its_case() -> None:
    assert contains("Graz")("It was GRAZ.") is None
    assert contains("Graz")("Vienna") == "'Graz' is not in it"


def test_an_answer_that_goes_round_in_circles_is_no_clean_one() -> None:
    loop = "The sea is blue. " + "It is very blue and very deep. " * 6

    assert loop_in(loop) is not None
    assert "in circles" in (is_clean(loop) or "")
    assert is_clean("January, February, March and so on, until December.") is None


def test_a_short_repetition_is_no_circle() -> None:
    assert loop_in("No, no, no, no!") is None


@pytest.mark.parametrize(
    "answer",
    ["Yes.<|im_end|>", "</s> hello", "ok <end_of_turn>", "[INST] hi", "a <\uff5cend\uff5c> b"],
)
def test_markup_in_an_answer_is_seen(answer: str) -> None:
    assert markup_in(answer) is not None
    assert "as text" in (is_clean(answer) or "")


@pytest.mark.parametrize("answer", ["a < b | c > d", "<table>", "x[0] [1]", "1 <2> 3"])
def test_what_only_looks_a_bit_like_it_is_not(answer: str) -> None:
    assert markup_in(answer) is None


def test_a_refusal_is_not_judged() -> None:
    told = judge(Task("t", "?", contains("x")), Reply(refusal="too long"))

    assert (told.passed, told.why) == (None, "too long")


def test_one_that_was_still_thinking_is_not_judged() -> None:
    told = judge(Task("t", "?", contains("x")), Reply(thought="hm", finish="length"))

    assert told.passed is None
    assert "thinking" in told.why


def test_needles_are_hidden_as_deep_as_the_context_goes() -> None:
    names = [task.name for task in tasks_for(TEXTS, quick=False, context=2048)]

    assert "needle in 1024 tokens" in names
    assert "needle in 4096 tokens" not in names


def test_a_needle_that_would_be_read_for_for_minutes_is_left_out() -> None:
    names = [t.name for t in tasks_for(TEXTS, quick=False, context=65536, prefill_tps=20.0)]

    assert [name for name in names if "needle" in name] == [
        "needle in 256 tokens",
        "needle in 1024 tokens",
    ]


def test_the_needle_stands_in_the_middle_of_the_hay() -> None:
    (task,) = [t for t in tasks_for(TEXTS, quick=False, context=2048) if "1024" in t.name]

    place = task.prompt.index("7349") / len(task.prompt)
    assert 0.3 < place < 0.7
    assert task.prompt.count("7349") == 1


def test_hay_is_as_long_as_it_is_wanted() -> None:
    assert 9_000 < len(haystack(TEXTS, 10_000)) <= 10_000


def test_a_quick_check_has_few_tasks_and_the_months_among_them() -> None:
    quick = tasks_for(TEXTS, quick=True, context=8192)

    assert MONTHS in [task.name for task in quick]
    assert len(quick) < len(tasks_for(TEXTS, quick=False, context=8192)) / 2
