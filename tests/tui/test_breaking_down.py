"""What is said when the screen has a bug, and one that it had."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from localllm.tui.widgets.key_line import KeyLine
from tests.fakes.a_screen import app_for, until, until_shown

pytestmark = pytest.mark.anyio


async def test_where_it_broke_is_said_without_what_somebody_had_typed(daemon) -> None:
    app = app_for(daemon)
    said = io.StringIO()
    app.error_console = Console(file=said, width=200)

    def break_down() -> None:
        typed = "a " + "prompt"
        raise RuntimeError(len(typed))

    with pytest.raises(RuntimeError):
        async with app.run_test() as pilot:
            await until_shown(pilot, "cuda:0")
            app.call_later(break_down)
            await until(pilot, lambda: app.return_code, "it to end")

    assert "RuntimeError: 8" in said.getvalue()
    assert "in break_down" in said.getvalue()
    assert "a prompt" not in said.getvalue()


async def test_keys_that_would_be_made_anew_on_a_screen_that_was_left_break_nothing(daemon) -> None:
    async with app_for(daemon).run_test() as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("s")
        await until_shown(pilot, "verdict")
        line = pilot.app.screen.query_one(KeyLine)
        await pilot.app.pop_screen()

        await line._renew()

        assert not line.is_attached
