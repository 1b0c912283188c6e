"""The screen in a test: on a scripted daemon, read as a person would, and waited for by conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from localllm.tui.app import Localllm
from localllm.tui.source import Source
from tests.fakes.scripted_daemon import ScriptedDaemon

_DEADLINE_S = 10.0


def app_for(daemon: ScriptedDaemon, **more: Any) -> Localllm:
    """The screen of this daemon, which it starts again if it is asked to."""
    return Localllm(Source(daemon.file, daemon.start), **more)


async def until(pilot: Pilot[Any], condition: Callable[[], Any], what: str) -> None:
    """Let the screen go on until the condition holds."""
    deadline = time.monotonic() + _DEADLINE_S
    while True:
        await pilot.pause()
        if condition():
            return
        assert time.monotonic() < deadline, f"not within {_DEADLINE_S} s: {what}\n{shown(pilot)}"
        await asyncio.sleep(0.02)


async def until_shown(pilot: Pilot[Any], *texts: str) -> None:
    """Let the screen go on until all of it can be read there."""
    await until(pilot, lambda: all(text in shown(pilot) for text in texts), f"to see {texts}")


def shown(pilot: Pilot[Any]) -> str:
    """What a person reads: the lines of the screen, overlays among them."""
    strips = pilot.app.screen._compositor.render_strips(pilot.app.size)
    return "\n".join(strip.text.rstrip() for strip in strips)
