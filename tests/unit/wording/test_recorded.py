"""What is said of a recording: that it goes on, what is kept, what is lacking."""

from __future__ import annotations

from typing import Any

from localllm.api.recording_views import RecordingView
from localllm.wording.recorded import what_is_lacking, what_is_recorded


def a_recording(**said: Any) -> RecordingView:
    usual: dict[str, Any] = {
        "file": "/state/traffic/a.jsonl",
        "started": 0.0,
        "ends": 3600.0,
        "left": 1800.0,
        "client": None,
        "prompts": False,
        "requests": 12,
        "under_way": 0,
        "bytes": 2048,
        "unmarked": 0,
        "left_out": 0,
        "over": None,
    }
    return RecordingView(**{**usual, **said})


def test_one_that_goes_on_says_what_it_keeps_and_how_it_is_ended() -> None:
    assert what_is_recorded(a_recording()) == (
        "recording requests: 12 requests of everybody, shapes, no text, 2 KiB; "
        "ends in 30 min; localllm record off ends it"
    )


def test_prompts_are_said_loudly() -> None:
    assert "12 requests of claude*, shapes AND PROMPTS" in what_is_recorded(
        a_recording(prompts=True, client="claude*")
    )


def test_one_that_is_over_says_why() -> None:
    said = what_is_recorded(a_recording(over="it cannot be written: No space left on device"))

    assert said.startswith("the last recording has 12 requests")
    assert said.endswith("it ended: it cannot be written: No space left on device")


def test_a_pattern_cannot_play_tricks_on_a_terminal() -> None:
    assert "\x1b" not in what_is_recorded(a_recording(client="\x1b[2J"))


def test_what_is_lacking_is_told_and_nothing_else() -> None:
    assert what_is_lacking(a_recording()) == []
    assert what_is_lacking(a_recording(under_way=1, unmarked=2, left_out=3)) == [
        "under way, or not written yet: 1 request",
        "of 2 requests nobody could tell what the prompt has in common with others",
        "left out: 3 requests",
    ]
