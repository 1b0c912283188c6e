"""All open streams are looked after at once, and none that has just got something."""

from __future__ import annotations

from typing import Any, cast

import anyio
import pytest

from localllm.gateway.client_stream import ClientStream, OpenStreams, Patience

pytestmark = pytest.mark.anyio

PATIENCE = Patience(open_after_s=0.02, silence_s=0.02)
DEADLINE_S = 10.0


class Stream:
    """Due as often as it is told, and never through with being attended to."""

    def __init__(self, *due: bool) -> None:
        self.due = list(due)
        self.attended = 0
        self.is_asked_no_more = anyio.Event()

    def is_due(self, _now: float, _patience: Patience) -> bool:
        if self.due:
            return self.due.pop(0)
        self.is_asked_no_more.set()
        return False

    async def attend(self) -> None:
        self.attended += 1
        await anyio.sleep_forever()


async def looked_after(stream: Stream, until: anyio.Event) -> None:
    streams = OpenStreams(PATIENCE)
    with anyio.fail_after(DEADLINE_S), streams.watching(cast("ClientStream", cast("Any", stream))):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(streams.run)
            await until.wait()
            tasks.cancel_scope.cancel()


async def test_a_stream_that_got_something_before_its_turn_came_is_left_alone() -> None:
    stream = Stream(True, False)

    await looked_after(stream, stream.is_asked_no_more)

    assert stream.attended == 0
