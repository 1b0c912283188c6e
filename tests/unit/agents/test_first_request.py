"""Whether the answer to a first request is whole, read line by line."""

from __future__ import annotations

import pytest

from localllm.agents.first_request import Reading, what_it_says

CHAT, MESSAGES = ("[DONE]",), ("message_stop",)
RESPONSES = ("response.completed", "response.incomplete")


def read(ends: tuple[str, ...], *lines: str) -> Reading:
    reading = Reading(ends)
    for line in lines:
        reading.line(line)
    return reading


@pytest.mark.parametrize(
    ("ends", "lines", "events", "end"),
    [
        (CHAT, ['data: {"choices": []}', "", ": alive", "data: [DONE]"], 2, "[DONE]"),
        (CHAT, ['data: {"choices": []}'], 1, None),
        (
            MESSAGES,
            [
                "event: ping",
                'data: {"type": "ping"}',
                "",
                "event: message_stop",
                'data: {"type": "message_stop"}',
            ],
            2,
            "message_stop",
        ),
        (RESPONSES, ['data: {"type": "response.created"}'], 1, None),
        (RESPONSES, ['data:{"type":"response.incomplete"}'], 1, "response.incomplete"),
    ],
)
def test_a_stream_is_whole_once_its_apis_last_event_came(
    ends: tuple[str, ...], lines: list[str], events: int, end: str | None
) -> None:
    reading = read(ends, *lines)

    assert (reading.events, reading.end, reading.error) == (events, end, None)


@pytest.mark.parametrize(
    ("ends", "lines", "error"),
    [
        (CHAT, ['data: {"error": {"message": "full", "code": 1}}'], "full"),
        (MESSAGES, ['data: {"type": "error", "error": {"type": "x", "message": "m"}}'], "m"),
        (
            RESPONSES,
            ['data: {"type": "response.failed", "response": {"error": {"message": "m"}}}'],
            "m",
        ),
        (CHAT, ["data: {no"], "an event is no JSON: {no"),
        (
            MESSAGES,
            ["event: ping", 'data: {"type": "pong"}'],
            "the event ping says that it is pong",
        ),
    ],
)
def test_a_stream_that_says_that_it_failed_is_believed(
    ends: tuple[str, ...], lines: list[str], error: str
) -> None:
    assert read(ends, *lines).error == error


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"type": "error", "error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"detail": 1}, '{"detail": 1}'),
        ([1], "[1]"),
    ],
)
def test_an_errors_message_is_found_in_either_shape(document: object, said: str) -> None:
    assert what_it_says(document) == said
