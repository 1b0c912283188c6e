"""What becomes of an answer's text: where it stops, and which part of it is what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from localllm.engines.workers.answers import Counts, Delta, Documents
from localllm.engines.workers.mlx.text import Sorter
from localllm.engines.workers.stops import Stops

COUNTS = Counts(prompt=10, cached=4, answer=3, prompt_s=0.5, answer_s=0.25)
CALL = '{"name": "look_up", "arguments": {"word": "Straße"}}'


def passed(words: Sequence[str], pieces: Sequence[str]) -> tuple[list[str], str]:
    """Return what each piece lets through, and what is left at the end."""
    stops = Stops(words)
    return [stops.take(piece) for piece in pieces], stops.rest()


def sorted_out(
    *pieces: tuple[str, str], parse: Any = json.loads, one_call: bool = False
) -> list[Delta]:
    sorter = Sorter(parse, one_call=one_call)
    deltas = [delta for piece in pieces for delta in sorter.take([piece])]
    return [*deltas, *sorter.end()]


def said(field: str, deltas: Sequence[Delta]) -> str:
    return "".join(delta.get(field, "") for delta in deltas)


def calls(deltas: Sequence[Delta]) -> list[dict[str, Any]]:
    return [call for delta in deltas for call in delta.get("tool_calls", ())]


@pytest.mark.parametrize(
    ("words", "pieces", "through", "rest"),
    [
        ([], ["a", "b"], ["a", "b"], ""),
        (["END"], ["one EN", "D two"], ["one ", ""], ""),
        (["END"], ["one EN", "TER"], ["one ", "ENTER"], ""),
        (["END"], ["one EN"], ["one "], "EN"),
        (["aris"], [" Paris"], [" P"], ""),
        (["two", "one"], ["one two"], [""], ""),
        (["\n\n", "\n"], ["a", "\n", "b"], ["a", "", "b"], ""),
        (["aab"], ["aa", "ab"], ["", "a"], ""),
    ],
)
def test_a_text_ends_before_the_first_stop_sequence(
    words: list[str], pieces: list[str], through: list[str], rest: str
) -> None:
    assert passed(words, pieces) == (through, rest)


def test_content_alone_is_passed_on_as_it_is() -> None:
    deltas = sorted_out(("normal", " Hi \n"), ("normal", "there"), ("normal", "\n"))

    assert said("content", deltas) == " Hi \nthere\n"


def test_reasoning_is_told_apart_and_white_space_around_it_is_markup() -> None:
    deltas = sorted_out(
        ("reasoning", "\nWell,"), ("reasoning", " so\n"), ("normal", "\n\n"), ("normal", "Yes. ")
    )

    assert said("reasoning_content", deltas) == "Well, so"
    assert said("content", deltas) == "Yes. "


def test_calls_are_numbered_and_have_ids_of_their_own() -> None:
    deltas = sorted_out(
        ("normal", "Let me see.\n"), ("tool", CALL), ("normal", "\n"), ("tool", CALL)
    )

    first, second = calls(deltas)
    assert said("content", deltas) == "Let me see."
    assert (first["index"], second["index"]) == (0, 1)
    assert first["id"] != second["id"]
    assert first["type"] == "function"
    assert first["function"] == {"name": "look_up", "arguments": '{"word": "Straße"}'}


def test_one_notation_may_hold_several_calls() -> None:
    assert len(calls(sorted_out(("tool", f"[{CALL}, {CALL}]")))) == 2


def test_who_wants_one_call_gets_one() -> None:
    sorter = Sorter(json.loads, one_call=True)

    deltas = [*sorter.take([("tool", f"[{CALL}, {CALL}]"), ("normal", "")])]

    assert len(calls(deltas)) == 1
    assert sorter.is_over


@pytest.mark.parametrize("broken", [CALL[:-5], "[]7", '{"name": "look_up"}', "null"])
def test_a_call_that_was_cut_off_is_shown_rather_than_lost(broken: str) -> None:
    deltas = sorted_out(("normal", "So:"), ("tool", broken))

    assert calls(deltas) == []
    assert said("content", deltas) == f"So:{broken}"


def test_a_message_is_put_together_as_llama_cpp_does() -> None:
    deltas: list[Delta] = [
        {"role": "assistant", "content": None},
        {"reasoning_content": "Well."},
        {"tool_calls": [{"index": 0, "id": "7", "type": "function", "function": {}}]},
    ]

    whole = Documents("smol", "mlx-lm", 5, is_chat=True).whole(deltas, "tool_calls", COUNTS)

    assert whole["choices"] == [
        {
            "finish_reason": "tool_calls",
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "reasoning_content": "Well.",
                "tool_calls": [{"id": "7", "type": "function", "function": {}}],
            },
        }
    ]


def test_counts_are_told_in_openais_words_and_in_llama_cpps() -> None:
    whole = Documents("smol", "mlx-lm", 5, is_chat=False).whole([], "length", COUNTS)

    assert whole["usage"] == {
        "completion_tokens": 3,
        "prompt_tokens": 10,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    assert whole["timings"] == {
        "cache_n": 4,
        "prompt_n": 6,
        "prompt_ms": 500.0,
        "predicted_n": 3,
        "predicted_ms": 250.0,
    }
