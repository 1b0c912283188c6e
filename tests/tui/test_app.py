"""The screen as a whole: its keys, its themes, and a daemon that is lost and comes back."""

from __future__ import annotations

import threading

import pytest
from textual.widgets import HelpPanel

from localllm.errors import StartFailed
from localllm.tui.app import Localllm
from localllm.tui.screens.switcher import Switcher
from localllm.tui.source import Source
from localllm.tui.themes import CONTRAST, DARK, LIGHT
from tests.fakes.a_screen import app_for, shown, until, until_shown

pytestmark = pytest.mark.anyio

SMALL = (80, 24)


@pytest.mark.parametrize(
    ("key", "mode"),
    [("2", "plan"), ("3", "downloads"), ("4", "logs"), ("5", "chat"), ("6", "agents")],
)
async def test_a_number_goes_to_a_screen_and_1_comes_back(daemon, key, mode) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: pilot.app.current_mode == mode, mode)

        pilot.app.action_go("dashboard")  # a field that is typed into takes the 1
        await until_shown(pilot, "cuda:0")


@pytest.mark.parametrize("scene", ["downloading"], indirect=True)
async def test_each_screen_says_how_far_downloads_are(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "fetching 35%")


async def test_a_click_on_a_name_goes_to_its_screen(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "3 Downloads")
        await pilot.click("#header-tabs", offset=(28, 0))

        await until(pilot, lambda: pilot.app.current_mode == "downloads", "downloads")


@pytest.mark.parametrize("key", ["s", "slash"])
async def test_s_and_slash_open_the_switcher(daemon, key) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press(key)

        await until(pilot, lambda: isinstance(pilot.app.screen, Switcher), "the switcher")


async def test_t_goes_through_the_themes(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        seen = [pilot.app.theme]
        for _ in range(3):
            await pilot.press("t")
            seen.append(pilot.app.theme)

        assert seen == [DARK, LIGHT, CONTRAST, DARK]


async def test_a_question_mark_shows_every_key_and_hides_them_again(daemon) -> None:
    async with app_for(daemon).run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("question_mark")
        await until(pilot, lambda: pilot.app.screen.query(HelpPanel), "help")

        await pilot.press("question_mark")
        await until(pilot, lambda: not pilot.app.screen.query(HelpPanel), "no help")


async def test_q_closes_the_screen_and_stops_nothing(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("q")
        await until(pilot, lambda: not pilot.app.is_running, "the end")

    assert daemon.scene.asked == []


async def test_the_palette_names_every_action(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        names = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}

        assert names >= {
            *("Dashboard", "Plan", "Downloads", "Logs", "Chat", "Agents"),
            *("Switch model", "Next theme", "Quit", "Request (⏎)"),
        }
        assert "Start daemon" not in names


async def test_the_palette_goes_where_it_says(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("ctrl+p")
        await pilot.press(*"agents")
        await until_shown(pilot, "Show the screen Agents")
        await pilot.press("enter")

        await until(pilot, lambda: pilot.app.current_mode == "agents", "agents")


async def test_each_key_of_the_screen_has_a_name_and_a_tooltip() -> None:
    for binding in Localllm.BINDINGS:
        assert binding.id
        assert binding.tooltip


async def test_a_lost_daemon_is_told_with_since_when_and_its_last_picture_stays(daemon) -> None:
    async with app_for(daemon, clock=lambda: 1_795_990_000.0).run_test(size=(100, 24)) as pilot:
        await until_shown(pilot, "cuda:0")

        daemon.stop()

        await until_shown(pilot, "no daemon since ", "S starts one", "cuda:0", "qwen3-32b")
        assert pilot.app.screen.query_one("#body").has_class("-lost")
        await until_shown(pilot, "S Start daemon")


async def test_a_daemon_that_comes_back_elsewhere_is_found_again(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        daemon.stop()
        await until_shown(pilot, "no daemon since ")

        daemon.scene.change("qwen3-32b", id="other-one")
        daemon.start()  # on another port, with another token

        await until_shown(pilot, "localllm 0.0.0", "other-one")
        assert not pilot.app.screen.query_one("#body").has_class("-lost")
        assert "no daemon" not in shown(pilot)


async def test_a_daemon_that_refuses_is_told_as_lost(daemon) -> None:
    async with app_for(daemon).run_test(size=(120, 24)) as pilot:
        await until_shown(pilot, "cuda:0")
        daemon.scene.refusals["now"] = StartFailed("No.", why="it is ill", fix="wait")
        await until_shown(pilot, "it is ill")
        del daemon.scene.refusals["now"]

        await until_shown(pilot, "localllm 0.0.0")


async def test_upper_case_s_starts_a_daemon_where_there_is_none(daemon) -> None:
    daemon.stop()

    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "no daemon since ", "No daemon is running. S starts one")
        await pilot.press("S")

        await until_shown(pilot, "cuda:0")


async def test_upper_case_s_does_nothing_while_a_daemon_answers(daemon) -> None:
    started = threading.Event()
    app = Localllm(Source(daemon.file, started.set))

    async with app.run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("S")
        await until(pilot, lambda: daemon.scene.looks > 2, "looks")

    assert not started.is_set()


async def test_a_start_that_fails_says_what_why_and_fix(daemon) -> None:
    daemon.stop()

    def fails() -> None:
        raise StartFailed("The daemon did not start.", why="port [b]taken[/b]\x1b", fix="end it")

    app = Localllm(Source(daemon.file, fails))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "no daemon since ")
        await pilot.press("S")

        await until_shown(pilot, "The daemon did not start.", "port [b]taken[/b]?", "fix: end it")


async def test_a_daemon_that_says_nothing_does_not_hold_a_key_up(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        daemon.silent = True
        await pilot.press("6")

        await until(pilot, lambda: pilot.app.current_mode == "agents", "agents")


async def test_a_daemon_that_says_nothing_is_lost_until_it_does(daemon) -> None:
    now = [1_795_990_000.0]
    async with app_for(daemon, clock=lambda: now[0]).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        daemon.silent = True
        looks = daemon.scene.looks
        await until(pilot, lambda: pilot.app._looking, "a question")
        now[0] += 10

        await until_shown(pilot, "no daemon since ", "it does not answer")

        daemon.silent = False
        await until_shown(pilot, "localllm 0.0.0")
        assert daemon.scene.looks > looks


async def test_looks_that_are_alike_draw_nothing_anew(daemon, monkeypatch) -> None:
    daemon.scene.at = 1_795_990_000.0
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await until(pilot, lambda: daemon.scene.looks >= 10, "sparklines that are full")
        drawn: list[str] = []
        for one in ("#devices", "#models", "#notices", "#header-status"):
            widget = pilot.app.screen.query_one(one)
            monkeypatch.setattr(widget, "update", lambda *_, one=one, **__: drawn.append(one))
        looks = daemon.scene.looks

        await until(pilot, lambda: daemon.scene.looks >= looks + 3, "three looks more")

        assert drawn == []
