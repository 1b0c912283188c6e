"""Why a start came to nothing, and what happened before."""

from __future__ import annotations

import time
from typing import Any

import pytest

from localllm.api.event_views import EventView
from localllm.api.status_views import ErrorView
from localllm.wording.events import line_of
from localllm.wording.starts import gone, start_failed
from tests.unit.cli.test_render import a_model


def an_event(**more: Any) -> EventView:
    plain: dict[str, Any] = {"seq": 1, "at": 1_764_000_000.0, "topic": "evicted", "why": "why"}
    return EventView(**{**plain, **more})


def test_a_start_that_failed_has_its_reason_the_engines_last_lines_and_what_cures_it() -> None:
    error = ErrorView(reason="out of memory", fix="a smaller context", log=["ggml: failed"])

    told = start_failed(a_model(state="failed", error=error))

    assert told.what == "smollm2 could not be started."
    assert told.why == "out of memory\n  | ggml: failed"
    assert told.fix == "a smaller context"


@pytest.mark.parametrize("error", [None, ErrorView(reason="warm", log=[])])
def test_where_nobody_knows_a_cure_there_is_its_log(error: ErrorView | None) -> None:
    told = start_failed(a_model(state="stopped", error=error))

    assert (told.why, told.fix) == ("warm", "localllm logs smollm2")


def test_of_one_that_is_gone_the_last_thing_that_was_decided_of_it_is_why() -> None:
    events = [
        an_event(instance="m:1", why="it was asked for"),
        an_event(instance="m:1", why="evicted for n"),
        an_event(instance="n:1", why="loaded"),
        an_event(instance="m:1", why=""),
    ]

    assert gone("m", "m:1", events).why == "evicted for n"
    assert gone("m", "m:2", events).why == "somebody stopped or replaced it"


@pytest.mark.parametrize(
    ("event", "rest"),
    [
        (an_event(instance="m:1"), "evicted               m:1  why"),
        (an_event(model="m"), "evicted               m  why"),
        (an_event(), "evicted               -  why"),
        (an_event(topic="state", old="ready", new="failed"), "ready -> failed       -  why"),
        (an_event(why="a\x1b[31mb\u202e\nc"), "evicted               -  ab??c"),
    ],
)
def test_an_event_is_one_harmless_line_with_the_readers_clock(event: EventView, rest: str) -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))

    assert line_of(event) == f"{clock}  {rest}"
