"""The screen as a whole: its keys, its themes, and a daemon that is lost and comes back."""

from __future__ import annotations

import threading
import time

import pytest
from textual.widgets import Static

from localllm.errors import StartFailed
from localllm.tui.app import Localllm
from localllm.tui.asking import tell
from localllm.tui.screens.help import Help, keys_of
from localllm.tui.screens.switcher import Switcher
from localllm.tui.source import Source
from localllm.tui.themes import CONTRAST, DARK, LIGHT
from tests.fakes.a_screen import app_for, shown, too_wide, until, until_shown

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
        await until_shown(pilot, "on this screen", "All of one request", "Choose the model that")

        await pilot.press("question_mark")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Help), "no help")


async def test_help_scrolls_where_it_has_no_room_and_escape_closes_it(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "qwen3-32b")
        await pilot.press("question_mark")
        await until_shown(pilot, "on this screen")
        keys = pilot.app.screen.query_one("#help-keys", Static)
        await pilot.press("end")
        await until(pilot, lambda: keys.parent.scroll_offset.y > 0, "its end")
        assert not too_wide(pilot)

        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Help), "no help")


async def test_help_says_what_bindings_say_and_names_no_key_twice(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "qwen3-32b")
        groups = keys_of(pilot.app.screen)

        assert [*groups] == ["on this screen", "on every screen", "in lists and text"]
        assert [one.name for one in groups["on this screen"]] == ["Request"]
        names = [one.name for one in groups["on every screen"]]
        assert len(names) == len(set(names))
        assert {"Dashboard", "Switch", "Theme", "Help"} <= set(names)


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


async def test_in_a_browser_nobody_is_offered_a_picture_on_the_disk_of_another(
    daemon, monkeypatch
) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        app = pilot.app
        here = {command.title for command in app.get_system_commands(app.screen)}
        monkeypatch.setattr(Localllm, "is_web", True)
        in_browser = {command.title for command in app.get_system_commands(app.screen)}

        assert here - in_browser == {"Screenshot"}


async def test_the_palette_goes_where_it_says(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        await pilot.press("ctrl+p")
        await pilot.press(*"agents")
        await until_shown(pilot, "Show the screen Agents")
        await pilot.press("enter")

        await until(pilot, lambda: pilot.app.current_mode == "agents", "agents")


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
        await until_shown(pilot, "no answer since ", "it is ill")
        assert "no daemon" not in shown(pilot)
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

        await until_shown(pilot, "no answer since ", "does not answer")
        assert "S Start daemon" not in shown(pilot)  # there is one

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


@pytest.mark.parametrize("size", [SMALL, (120, 40), (200, 60)])
@pytest.mark.parametrize("scene", ["downloading", "busy"], indirect=True)
async def test_every_screen_and_its_keys_have_room_at_every_size(daemon, size) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await until_shown(pilot, "cuda:0")
        for mode in pilot.app.MODES:
            pilot.app.action_go(mode)
            await until(pilot, lambda mode=mode: pilot.app.current_mode == mode, mode)
            await until_shown(pilot, "localllm 0.0.0", "6 Agents")

            assert too_wide(pilot) == [], mode


async def test_letters_are_offered_as_keys_only_where_they_are_no_text(daemon) -> None:
    async with app_for(daemon).run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "s Switch", "? Help", "q Quit")
        await pilot.press("5")
        await until_shown(pilot, "esc Stop/leave")
        await until(pilot, lambda: "s Switch" not in shown(pilot), "no letters")
        assert "q Quit" not in shown(pilot)

        await pilot.press("escape")

        await until_shown(pilot, "s Switch", "? Help", "q Quit")


async def test_a_daemon_that_said_nothing_from_the_beginning_is_not_said_to_be_none(daemon) -> None:
    now = [1_795_990_000.0]
    daemon.silent = True
    async with app_for(daemon, clock=lambda: now[0]).run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: pilot.app._looking, "a question")
        now[0] += 10

        since = time.strftime("%H:%M:%S", time.localtime(1_795_990_000.0))
        await until_shown(pilot, f"no answer since {since}: ", "A daemon is running, and does not")
        assert "S Start daemon" not in shown(pilot)


async def test_q_leaves_at_once_while_a_daemon_is_being_started(daemon) -> None:
    daemon.stop()
    begun, goes_on = threading.Event(), threading.Event()
    threads = list[threading.Thread]()

    def slowly() -> None:
        threads.append(threading.current_thread())
        begun.set()
        goes_on.wait(30)

    try:
        async with Localllm(Source(daemon.file, slowly)).run_test(size=SMALL) as pilot:
            await until_shown(pilot, "no daemon since ")
            await pilot.press("S")
            await until(pilot, begun.is_set, "the start")
            left_at = time.monotonic()
            await pilot.press("q")
            await until(pilot, lambda: not pilot.app.is_running, "the end")
        assert time.monotonic() - left_at < 5
        assert threads[0].daemon  # nor does the process wait for it
    finally:
        goes_on.set()


async def test_twenty_answers_that_do_not_come_hold_no_look_up(daemon) -> None:
    enough = threading.Barrier(21)
    over = threading.Event()

    def wait(_daemon) -> None:
        enough.wait(10)
        over.wait(30)

    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")
        try:
            for _ in range(20):
                tell(pilot.app, wait)
            await until(pilot, lambda: enough.n_waiting == 20, "all of them under way")
            enough.wait(10)
            looks = daemon.scene.looks

            await until(pilot, lambda: daemon.scene.looks >= looks + 2, "looks")
        finally:
            enough.abort()
            over.set()
