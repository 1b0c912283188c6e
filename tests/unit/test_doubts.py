"""What speaks against a new engine process, and what must not though it looks odd."""

from __future__ import annotations

from typing import Any

import pytest

from localllm.engine_client.interview import Interview
from localllm.supervisor.doubts import Known, doubts_about

KNOWN = Known(181, "SmolLM2 135M Q8_0")


def heard(**more: Any) -> Interview:
    well: dict[str, Any] = {
        "tokens": 181,
        "round_trip": True,
        "chat_prompt_tokens": 37,
        "answer": "The days of the week are: Monday, Tuesday",
    }
    return Interview(**{**well, **more})


@pytest.mark.parametrize("known", [KNOWN, None])
def test_an_engine_that_did_well_is_not_doubted(known: Known | None) -> None:
    assert doubts_about(heard(), known) == ()


def test_another_count_of_tokens_is_told_with_both_numbers_and_who_says_so() -> None:
    (doubt,) = doubts_about(heard(tokens=189), KNOWN)

    assert doubt == (
        "Its tokenizer makes 189 tokens of a fixed text,"
        " and it should be 181 according to SmolLM2 135M Q8_0."
    )


def test_a_count_that_nobody_knows_better_is_taken_as_it_is() -> None:
    assert doubts_about(heard(tokens=189), None) == ()


def test_an_engine_that_tells_no_tokens_is_not_doubted_for_it() -> None:
    silent = heard(tokens=None, round_trip=None, chat_prompt_tokens=None)

    assert doubts_about(silent, KNOWN) == ()


def test_a_text_that_does_not_come_back_is_a_doubt() -> None:
    (doubt,) = doubts_about(heard(round_trip=False), KNOWN)

    assert doubt == "Its tokenizer does not give a fixed text back as it was."


def test_every_doubt_is_told() -> None:
    assert len(doubts_about(heard(tokens=1, round_trip=False, answer=""), KNOWN)) == 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "nothing at all"),
        ("GGGGGGGG", "over and over"),
        ("????", "over and over"),
        ("@@@@@@", "over and over"),
        ("! ! ! ! ! !", "over and over"),
        ("666666666666666666666666", "over and over"),  # SmolLM2 with NaN among its weights
        ("\n" * 24, "over and over"),  # and with its layers' weights all 0
        ("the the the the the the the the", "over and over"),
        ("<unk><unk><unk><unk><unk><unk><unk><unk><un", "over and over"),
        ("\ufffd" * 24, "over and over"),
        ("a\ufffdb\ufffd", "no text"),
        ("\x00\x01a\x02", "no text"),
        (",,,,,,,-,-,-,,-,-,-,-,-,", "no text"),  # and with its queries' rows out of place
    ],
)
def test_an_answer_of_broken_weights_is_a_doubt(answer: str, why: str) -> None:
    (doubt,) = doubts_about(heard(answer=answer), KNOWN)

    assert why in doubt
    assert doubt.startswith("It answered a simple question with ")
    assert doubt.isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        "Hi",
        "1",
        "🙂",
        "👋👋",
        "...",
        "No, no, no.",
        "Hmm, the user wants the days of the week, so I",
        "L'Étoile, la Marseillaise, la femme, la femme au martyre, la",
        "Monday, Monday, Monday, Monday, Tuesday",
        "- Monday\n- Tuesday\n- Wednesday\n- Thursday\n",
        "<think>\n\n</think>\n\n",
        "月曜日、火曜日、水曜日、木曜日、",
        "Monday \ufffd",  # the end of the answer cut an emoji
        "\ufffd",
        "\t\tMonday\r\n\tTuesday\r\n",
    ],
)
def test_an_answer_that_is_weak_short_or_cut_is_none(answer: str) -> None:
    assert doubts_about(heard(answer=answer), KNOWN) == ()


def test_a_long_answer_is_shown_by_its_beginning() -> None:
    (doubt,) = doubts_about(heard(answer="G" * 5000), KNOWN)

    assert len(doubt) < 200
