"""How fast the answer of a chat comes. No screen."""

from __future__ import annotations

from localllm.api.chat_stream import Counted, Cut, Said, Thought
from localllm.tui.chat_stream import Measured


def test_speed_counts_from_the_first_token_and_by_what_the_engine_counted() -> None:
    measured = Measured(asked_at=10.0)
    for at in (12.0, 13.0, 14.0):
        measured.see(Said("x"), at)
    assert measured.line() == "about 3 tokens, 1.0 tok/s, first after 2.0 s"

    measured.see(Counted(21), 14.1)

    assert measured.line() == "21 tokens, 10.0 tok/s, first after 2.0 s"
    assert measured.line("stopped").endswith(", stopped")


def test_an_answer_that_was_cut_off_says_so_and_one_without_a_token_has_no_speed() -> None:
    measured = Measured(asked_at=0.0)
    assert measured.line() == "no token has come yet"
    measured.see(Thought("x"), 1.0)
    measured.see(Cut(), 1.0)

    assert (
        measured.line() == "about 1 token, - tok/s, first after 1.0 s, cut off: the context is full"
    )
