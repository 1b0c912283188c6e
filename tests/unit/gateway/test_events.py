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
            {"topic": "evicted", "old": None, "new": None, "why": "makes room for b"},
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
        **shown,
    }


def test_a_reader_that_was_too_slow_is_told() -> None:
    data = render_event(Envelope(7, 0.0, Missed(3))).decode().split("data: ")[1]

    assert json.loads(data)["why"] == "3 events were dropped: this reader is too slow"
