"""Events as they are sent."""

from __future__ import annotations

import json

import pytest

from localllm.events import (
    Decided,
    Envelope,
    Event,
    InstanceId,
    Missed,
    ModelId,
    ModelState,
    PullChanged,
    PullMoved,
    StateChanged,
    Topic,
)
from localllm.gateway.events import render_event

MODEL, INSTANCE = ModelId("qwen"), InstanceId("qwen:q4")


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            StateChanged(INSTANCE, MODEL, ModelState.READY, ModelState.BACKOFF, "exited with 3"),
            {"topic": "state", "old": "ready", "new": "backoff", "why": "exited with 3"},
        ),
        (
            Decided(Topic.EVICTED, "makes room for b", MODEL, INSTANCE),
            {"topic": "evicted", "why": "makes room for b"},
        ),
        (
            PullChanged("p3", "qwen", "queued", "fetching", "its turn"),
            {
                "topic": "pull",
                "pull": "p3",
                "old": "queued",
                "new": "fetching",
                "why": "its turn",
                "instance": None,
            },
        ),
        (
            PullMoved("p3", "qwen", 100, 1000, 50.0, 18.0),
            {
                "topic": "progress",
                "pull": "p3",
                "here": 100,
                "size": 1000,
                "speed": 50.0,
                "left": 18.0,
                "why": "100 of 1000 bytes",
                "instance": None,
            },
        ),
    ],
)
def test_an_event_is_one_json_object_with_its_number_as_id(
    event: Event, shown: dict[str, object]
) -> None:
    sent = render_event(Envelope(7, 1764000000.0, event)).decode()

    number, data, *rest = sent.split("\n")
    assert (number, rest) == ("id: 7", ["", ""])
    assert json.loads(data.removeprefix("data: ")) == {
        "seq": 7,
        "at": 1764000000.0,
        "model": "qwen",
        "instance": "qwen:q4",
        **dict.fromkeys(("old", "new", "pull", "here", "size", "speed", "left")),
        **shown,
    }


def test_a_reader_that_was_too_slow_is_told() -> None:
    data = render_event(Envelope(7, 0.0, Missed(3))).decode().split("data: ")[1]

    assert json.loads(data)["why"] == "3 events were dropped: this reader is too slow"
