"""The screen in a test: on a scripted daemon, read as a person would, and waited for by conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import DataTable, Footer, Static

from localllm.tui.app import Localllm
from localllm.tui.source import Source
from tests.fakes.scripted_daemon import ScriptedDaemon

_DEADLINE_S = 10.0


def app_for(daemon: ScriptedDaemon, **more: Any) -> Localllm:
    """The screen of this daemon, which it starts again if it is asked to."""
    return Localllm(Source(daemon.file, daemon.start), **more)


async def until(
    pilot: Pilot[Any],
    condition: Callable[[], Any],
    what: str,
    *,
    within_s: float = _DEADLINE_S,
) -> None:
    """Let the screen go on until the condition holds."""
    deadline = time.monotonic() + within_s
    while True:
        await pilot.pause()
        if condition():
            return
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{shown(pilot)}"
        await asyncio.sleep(0.02)


async def until_shown(pilot: Pilot[Any], *texts: str, within_s: float = _DEADLINE_S) -> None:
    """Let the screen go on until all of it can be read there."""
    await until(
        pilot,
        lambda: all(text in shown(pilot) for text in texts),
        f"to see {texts}",
        within_s=within_s,
    )


def too_wide(pilot: Pilot[Any]) -> list[str]:
    """What has no room: lines that are cut since nothing wraps them, tables and keys beyond the edge."""
    found = list[str]()
    for one in pilot.app.screen.query("*"):
        if not one.display or not one.region:
            continue
        if isinstance(one, DataTable | Footer):
            room, needed = one.scrollable_content_region.width, one.virtual_size.width
            found += [f"{one}: {needed} columns in {room}"] if needed > room else []
        elif isinstance(one, Static) and one.styles.text_wrap == "nowrap":
            lines = Content(str(one.content)).split("\n")
            found += [line.plain for line in lines if line.cell_length > one.content_size.width]
    return found


def shown(pilot: Pilot[Any]) -> str:
    """What a person reads: the lines of the screen, overlays among them."""
    strips = pilot.app.screen._compositor.render_strips(pilot.app.size)
    return "\n".join(strip.text.rstrip() for strip in strips)
