"""What facts say: ok, worse or broken."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.quality.facts import Called, Facts, Tokenizer, Tried
from localllm.quality.findings import findings_alone, findings_beside, verdict_of
from tests.unit.quality.some_facts import a_subject, scored, some_facts

GOOD = some_facts()


def alone(**more: Any) -> tuple[str, str]:
    found = findings_alone(some_facts(**more))
    return verdict_of(found), " ".join(one.what for one in found)


def beside_good(facts: Facts) -> tuple[str, str]:
    found = findings_beside(facts, GOOD)
    return verdict_of(found), " ".join(one.what for one in found)


def tried(**passed: bool | None) -> tuple[Tried, ...]:
    return tuple(Tried(name, told, "", "an answer") for name, told in passed.items())


def test_a_model_in_order_gives_no_finding() -> None:
    assert alone() == ("ok", "")
    assert beside_good(some_facts()) == ("ok", "")


def test_a_small_model_that_fails_all_tasks_is_not_broken_for_it() -> None:
    failed = tuple(Tried(name, False, "wrong", "some words") for name in ("add", "copy", "count"))

    assert alone(tried=failed)[0] == "ok"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scored": (scored([0.5, None, 0.5]),)}, "no numbers"),
        ({"scored": (scored([0.001] * 50),)}, "bits for a byte"),
        ({"tokenizer": Tokenizer(ids=(1,), joined=False)}, "does not give a fixed text back"),
        ({"tokenizer": Tokenizer(missing=("question: Hi",))}, "leaves out what was said"),
        ({"tokenizer": Tokenizer(refused={"question": "no"})}, "does not take a fixed question"),
        (
            {"tried": (Tried("months", False, "", "@" * 60),)},
            "simple question with one and the same",
        ),
        ({"tried": (Tried("months", False, "", ""),)}, "with nothing at all"),
        ({"tried": (Tried("copy", True, "", "Yes<|im_end|>"),)}, "writes <|im_end|>"),
        ({"doubts": ("Its tokenizer makes 189 tokens.",)}, "makes 189 tokens"),
    ],
)
def test_what_no_model_in_order_does_is_broken(more: dict[str, Any], words: str) -> None:
    verdict, said = alone(**more)

    assert verdict == "broken"
    assert words in said


@pytest.mark.parametrize(
    "more",
    [
        {"tokenizer": Tokenizer(refused={"conversation": "no system role"})},
        {"tokenizer": Tokenizer(markup_tokens=0)},
        {"tokenizer": Tokenizer(knows_tools=False)},
        {"cut_short": "60 s were over"},
        {"tried": (Tried("letter", False, "it goes round in circles: 'a'", "words"),)},
        {"scored": (), "unscored": "this engine tells none"},
    ],
)
def test_what_may_be_as_it_should_is_a_note(more: dict[str, Any]) -> None:
    assert alone(**more)[0] == "ok"


def test_one_that_knows_code_but_little_english_is_not_broken() -> None:
    verdict, said = alone(scored=(scored([0.001] * 50), scored([0.5] * 50, kind="code", name="b")))

    assert (verdict, "another language" in said) == ("ok", True)


def test_one_that_knows_neither_is() -> None:
    assert alone(scored=(scored([0.001] * 50), scored([0.001] * 50, kind="code", name="b")))[0] == (
        "broken"
    )


def test_a_base_model_is_said_to_have_no_template() -> None:
    verdict, said = alone(subject=a_subject(has_template=False))

    assert (verdict, "brings no chat template" in said) == ("ok", True)


def test_a_stream_that_was_cut_in_its_thoughts_is_not_judged() -> None:
    whole = Called("c", "openai", 1, 1, 1)
    streamed = Called("c", "openai streamed", 0, 0, 0)

    assert alone(called=(whole, streamed))[0] == "ok"


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ("Today Date: 29 Nov 2026", "Today Date: 1 Dec 2026"),
        ("Current date: 2026-11-29", "Current date: 2027-01-02"),
        ("It is Sunday, November 29, 2026, 9:05.", "It is Monday, December 7, 2026, 14:30:10."),
    ],
)
def test_a_template_that_tells_the_day_is_the_same_on_another(then: str, now: str) -> None:
    one, other = (
        some_facts(tokenizer=Tokenizer(ids=(1,), chats={"question": said})) for said in (now, then)
    )

    assert findings_beside(one, other) == []


def test_a_large_model_is_held_to_more() -> None:
    text = (scored([0.01] * 50),)  # 1.66 bits per byte
    large = a_subject(parameters=8_000_000_000)

    assert alone(scored=text)[0] == "ok"
    assert alone(scored=text, subject=large)[0] == "broken"


def test_another_language_is_not_held_to_the_english_bound() -> None:
    assert alone(scored=(scored([0.0001] * 50, kind="german"),))[0] == "ok"


def test_a_tokenizer_that_cuts_differently_is_broken_and_the_place_is_said() -> None:
    drifted = some_facts(tokenizer=Tokenizer(ids=(1, 9, 3), joined=True))

    verdict, said = beside_good(drifted)

    assert verdict == "broken"
    assert "from the 2nd on (3 in all, 3 there)" in said


def test_another_models_tokenizer_may_cut_as_it_likes() -> None:
    other = some_facts(a_subject(tokenizer_key="other"), tokenizer=Tokenizer(ids=(7, 8)))

    assert beside_good(other)[0] == "ok"


def test_a_template_that_writes_differently_is_worse() -> None:
    facts = some_facts(tokenizer=Tokenizer(ids=(1, 2, 3), chats={"question": "[INST]q"}))

    verdict, said = beside_good(facts)

    assert (verdict, "1 of 1 differ" in said) == ("worse", True)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ([0.5] * 100, "ok"),
        ([0.499, 0.497] * 50, "ok"),  # less than 2%
        ([0.45, 0.44] * 50, "worse"),
        ([0.1, 0.12] * 50, "broken"),
    ],
)
def test_the_growth_of_the_perplexity_counts_beyond_its_noise(
    shares: list[float], verdict: str
) -> None:
    assert beside_good(some_facts(scored=(scored([*shares]),)))[0] == verdict


def test_a_mean_that_may_be_noise_is_none_of_the_reasons() -> None:
    few, other = scored([0.9] * 3 + [0.05] * 2), scored([0.5] * 5)

    found = findings_beside(some_facts(scored=(few,)), some_facts(scored=(other,)))

    assert "perplexity" not in " ".join(one.what for one in found)


def test_with_another_tokenizer_bits_per_byte_are_compared() -> None:
    other = a_subject(tokenizer_key="other")

    assert beside_good(some_facts(other, scored=(scored([0.4] * 90),)))[0] == "worse"
    assert beside_good(some_facts(other, scored=(scored([0.49] * 90),)))[0] == "ok"


def test_a_task_or_two_may_be_lost_by_a_hair() -> None:
    good = some_facts(tried=tried(a=True, b=True, c=True, d=False))
    two = some_facts(tried=tried(a=False, b=False, c=True, d=True))
    three = some_facts(tried=tried(a=False, b=False, c=False, d=False))

    assert verdict_of(findings_beside(two, good)) == "ok"
    assert verdict_of(findings_beside(three, good)) == "worse"


def test_calls_that_lose_their_form_are_worse_and_one_of_nine_is_noise() -> None:
    good = some_facts(called=(Called("tool", "openai", 9, 9, 9),))
    one = some_facts(called=(Called("tool", "openai", 9, 8, 8),))
    many = some_facts(called=(Called("tool", "openai", 9, 3, 3),))

    assert verdict_of(findings_beside(one, good)) == "ok"
    assert verdict_of(findings_beside(many, good)) == "worse"


def test_a_stream_that_says_less_than_the_whole_is_worse() -> None:
    called = (
        Called("tool", "openai", 1, 1, 1),
        Called("tool", "openai streamed", 1, 0, 0, why="its calls differ"),
    )

    verdict, said = alone(called=called)

    assert (verdict, "its calls differ" in said) == ("worse", True)
