"""What the screen leaves alone: frames in which nothing is new, and keys that are shown already."""

from __future__ import annotations

import pytest

from localllm.tui.widgets.key_line import KeyLine
from tests.fakes.a_screen import app_for, until, until_shown

pytestmark = pytest.mark.anyio

SMALL = (80, 24)


async def test_looks_that_are_alike_write_nothing_to_the_terminal(daemon, monkeypatch) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await until(pilot, lambda: daemon.scene.looks >= 12, "sparklines that are full")
        frames = []
        monkeypatch.setattr(pilot.app, "_display", lambda _screen, frame: frames.append(frame))
        looks = daemon.scene.looks

        await until(pilot, lambda: daemon.scene.looks >= looks + 3, "three looks more")

        assert [frame for frame in frames if frame] == []


async def test_keys_that_are_shown_already_are_not_made_anew(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "Request", "Switch")
        made = list(pilot.app.screen.query_one(KeyLine).children)
        assert made

        await pilot.press("3")
        await until_shown(pilot, "Nothing is being downloaded")
        await pilot.press("1")
        await until_shown(pilot, "cuda:0", "Request")

        assert list(pilot.app.screen.query_one(KeyLine).children) == made


async def test_keys_that_work_no_more_are_gone(daemon) -> None:
    async with app_for(daemon).run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("s")
        await until_shown(pilot, "List", "Close", "verdict")
        await pilot.press("down")
        await until_shown(pilot, "Pin", "Unload")
        await pilot.press("slash")

        await until(pilot, lambda: _keys(pilot).isdisjoint({"p", "u"}), "they are gone")


def _keys(pilot) -> set[str]:
    return {one.key for one in pilot.app.screen.query_one(KeyLine).children}
