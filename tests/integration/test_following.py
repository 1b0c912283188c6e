"""Events and logs that are sent piece by piece, until the reader goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.events import Topic
from localllm.gateway.following import _until_it_goes
from tests.fakes.house import TOKEN, a_house

pytestmark = pytest.mark.anyio
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


async def test_what_happens_is_sent_as_it_happens(tmp_path: Path) -> None:
    async with (
        a_house(tmp_path) as house,
        house.http.get("/api/v1/events?follow=1", headers=HEADERS) as answer,
    ):
        house.fleet.say(Topic.PINNED, "a first thing")
        first = await answer.content.readuntil(b"\n\n")
        house.fleet.say(Topic.PINNED, "another thing")
        second = await answer.content.readuntil(b"\n\n")

    assert b"a first thing" in first
    assert b"another thing" in second


async def answering(error: Exception) -> None:
    async with _until_it_goes():
        raise error


async def test_a_reader_that_goes_away_is_nothing_to_report() -> None:
    gone = ConnectionResetError("closing transport")

    await answering(gone)
    await answering(ExceptionGroup("of a task group", [gone]))
    with pytest.raises(ValueError, match="a bug"):
        await answering(ValueError("a bug"))
