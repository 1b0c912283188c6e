"""Every screen, against a real daemon that serves the small model; its keys: see test_screen_switching.py."""

from __future__ import annotations

import os
import signal

import pytest
from textual.widgets import Input

from localllm.tui.screens.request import RequestScreen
from localllm.tui.screens.switcher import Switcher
from localllm.tui.widgets.prompt import Prompt
from tests.fakes.a_real_screen import CLIENT, LOADS_S, MODEL, SIZE, RealDaemon, fingers, looked
from tests.fakes.a_screen import shown, until, until_shown
from tests.fakes.pressed import check_all_were_pressed

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(180),
]
press, write = fingers.press, fingers.write


@pytest.fixture
def real(shared_daemon: RealDaemon) -> RealDaemon:
    """Serves MODEL and nothing else, whatever the test before has left."""
    shared_daemon.serve_the_small_model_alone()
    return shared_daemon


async def test_the_dashboard_shows_the_machine_the_model_and_a_request_with_its_figures(
    real: RealDaemon,
) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await until_shown(pilot, "cpu", "1 ● ready", MODEL, "Q4_1", "1,024 tokens", "MiB planned")
        with real.asked():
            await until_shown(pilot, "generating", f"{CLIENT}/1", "1 active, 0 waiting")
            await until(pilot, lambda: _speed(pilot) > 0, "its speed", within_s=30)
            await press(pilot, "enter")
            await until_shown(pilot, "first token", "of it cached", "chat", MODEL)
            await press(pilot, "escape")
        await until_shown(pilot, "cancelled", "0 active, 0 waiting")
        for key in ("enter", "q"):
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, RequestScreen), "it in full")
            await until_shown(pilot, "elapsed")
            await press(pilot, key)
            await until_shown(pilot, "1 Dashboard")


def _speed(pilot) -> float:
    line = next((line for line in shown(pilot).split("\n") if CLIENT in line), "- 0 s")
    tps = line.split()[-4]
    return float(tps) if tps.isdecimal() else 0.0


async def test_the_plan_of_a_model_is_explained_for_this_and_for_another_machine(
    real: RealDaemon,
) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await press(pilot, "2")
        await until_shown(pilot, MODEL, "Q4_1", "fits", within_s=LOADS_S)
        for key in ("e", "enter", "escape"):
            await press(pilot, "e")
            await until_shown(pilot, "number by number", within_s=30)
            await press(pilot, key)
            await until_shown(pilot, "2 Plan")
        await press(pilot, "m", "escape")
        await press(pilot, "m")
        pilot.app.screen.query_one("#asked", Input).value = "qwen3-8b"
        await pilot.press("enter")
        await until_shown(pilot, "qwen3-8b", "Q8_0", within_s=30)
        await press(pilot, "x")
        await write(pilot, "rtx5090")
        await pilot.press("enter")
        await until_shown(pilot, "RTX 5090", within_s=30)
        await press(pilot, "r")
        await until_shown(pilot, "RTX 5090", "fits")


async def test_logs_of_the_real_engine_are_followed_and_searched(real: RealDaemon) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await press(pilot, "4")
        await until_shown(pilot, "all slots are idle", "following")
        await press(pilot, "f")
        await until_shown(pilot, "stopped here")
        await press(pilot, "f", "w")
        await until_shown(pilot, "following", "long lines wrapped")
        await press(pilot, "w", "slash")
        await write(pilot, "print_timing")
        await pilot.press("enter")
        await until_shown(pilot, "“print_timing”: ", " of ")
        await press(pilot, "n", "N", "escape")
        await until(pilot, lambda: "“print_timing”" not in shown(pilot), "no marks")
        await press(pilot, "f")
        before = pilot.app.screen.query_one("#log-view").kept.end
        with real.asked():
            await until(
                pilot, lambda: pilot.app.screen.query_one("#log-view").kept.end > before, "more"
            )
        await press(pilot, "right_square_bracket")
        await until_shown(pilot, "warming -> ready")
        await press(pilot, "left_square_bracket")
        await until_shown(pilot, "slot")


async def test_a_real_answer_streams_with_its_figures_and_is_stopped(real: RealDaemon) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await press(pilot, "5")
        await until_shown(pilot, f"with {MODEL} (ready)")
        await write(pilot, "tell a tale")
        await press(pilot, "ctrl+j")
        await write(pilot, "of a cat")
        await pilot.press("enter")
        await until_shown(pilot, "> tell a tale", "tokens, ", " tok/s, first after", within_s=30)
        await press(pilot, "escape")
        await until_shown(pilot, " tok/s, first after", ", stopped")
        await press(pilot, "ctrl+t", "escape", "i")
        await until(pilot, lambda: isinstance(pilot.app.focused, Prompt), "the field")
        await press(pilot, "escape", "enter", "ctrl+n")
        await until_shown(pilot, "Nothing of it is kept")


async def test_settings_of_agents_are_shown_and_copied(real: RealDaemon) -> None:
    async with real.app().run_test(size=SIZE, notifications=True) as pilot:
        await looked(pilot)
        await press(pilot, "6")
        await until_shown(pilot, f"{MODEL} at {real.here.url}", within_s=30)
        await press(pilot, "c")
        await until(pilot, lambda: str(real.here.port) in pilot.app.clipboard, "they are copied")
        await press(pilot, "r", "w")
        await until_shown(pilot, "localllm connect ", "--write")
        assert pilot.app.clipboard.startswith("localllm connect ")


async def test_help_palette_and_themes(real: RealDaemon) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await press(pilot, "question_mark")
        await until_shown(pilot, "on this screen", "Every key of this screen")
        await press(pilot, "question_mark")
        await looked(pilot)
        seen = []
        for _ in range(3):
            await press(pilot, "t")
            seen.append(pilot.app.theme)
        assert len(set(seen)) == 3
        await pilot.press("ctrl+p")
        await write(pilot, "logs")
        await until_shown(pilot, "Show the screen Logs")
        await pilot.press("enter")
        await until_shown(pilot, "all slots are idle")
        await press(pilot, "1", "slash")
        await until(pilot, lambda: isinstance(pilot.app.screen, Switcher), "the switcher")


async def test_a_daemon_that_is_killed_and_started_again_is_found_again_and_q_leaves_it(
    real: RealDaemon,
) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        old = real.here.daemon_file()["pid"]
        os.kill(old, signal.SIGKILL)
        await until_shown(pilot, "no daemon since", MODEL)
        await press(pilot, "S")  # here it starts none: see test_screen_in_tmux.py
        real.here.ok("up")
        await until_shown(pilot, "1 ● ready", "under a minute", within_s=LOADS_S)
        assert "no daemon" not in shown(pilot)
        await press(pilot, "q")
        await until(pilot, lambda: not pilot.app.is_running, "the end")
    assert real.here.daemon_file()["pid"] != old
    assert real.models()[MODEL].state == "ready"


async def test_every_key_that_the_screen_has_was_pressed_here_or_in_test_screen_switching(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp()
    check_all_were_pressed(fingers, request, base, "test_screen.py", "test_screen_switching.py")
