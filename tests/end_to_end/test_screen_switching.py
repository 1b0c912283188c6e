"""Models fetched, switched to, pinned and unloaded on the screen, with a real daemon, engine and hub on loopback."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from localllm.tui.screens.help import Help
from localllm.tui.screens.switcher import Switcher
from localllm.tui.widgets.choice_table import ChoiceTable
from tests.fakes.a_real_screen import LOADS_S, PULLED, SIZE, RealDaemon, fingers, looked
from tests.fakes.a_screen import shown, until, until_shown
from tests.fakes.installation import wait_until
from tests.fakes.pressed import check_all_were_pressed

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.xdist_group("engine"),
    pytest.mark.timeout(180),
]
SLOW = 6_000_000
"""Bytes a second: 98 MB are then under way for as long as a test looks at them."""

press, write = fingers.press, fingers.write


@pytest.fixture
def real(shared_daemon: RealDaemon) -> RealDaemon:
    """Serves MODEL and nothing else, whatever the test before has left."""
    shared_daemon.serve_the_small_model_alone()
    return shared_daemon


async def listed(pilot, text: str) -> None:
    """Open the switcher, filter it to one line, and go to the list."""
    await press(pilot, "s")
    await until(pilot, lambda: isinstance(pilot.app.screen, Switcher), "the switcher")
    table = pilot.app.screen.query_one(ChoiceTable)
    await until(pilot, lambda: len(table.rows) > 10, "the plan", within_s=LOADS_S)
    await write(pilot, text)
    await until(pilot, lambda: len(table.rows) == 1, text)
    await press(pilot, "down")
    await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list")


async def closed(pilot) -> None:
    await press(pilot, "escape")
    await until(pilot, lambda: not isinstance(pilot.app.screen, Switcher), "it is closed")


async def test_a_download_is_begun_paused_resumed_cancelled_and_begun_again(
    real: RealDaemon,
) -> None:
    real.hub.tell(set={"bytes_per_s": SLOW, "send_buffer_bytes": 1 << 16})
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await press(pilot, "3")
        await until_shown(pilot, "Nothing is being downloaded.")
        await listed(pilot, PULLED)
        await until_shown(pilot, "to fetch from me/Tiny-GGUF")
        await press(pilot, "d")
        await until_shown(pilot, "is being fetched")
        await closed(pilot)
        await until_shown(pilot, "fetching", "MiB/s", "Tiny-Q4_1.gguf", within_s=LOADS_S)
        await press(pilot, "space")
        await until_shown(pilot, "paused")
        await press(pilot, "p")
        await until_shown(pilot, "fetching", "MiB/s", within_s=LOADS_S)
        for key in ("n", "escape", "q"):
            await press(pilot, "x")
            await until_shown(pilot, "Cancel the download of", "Its half files are removed")
            await press(pilot, key)
            await until_shown(pilot, "3 Downloads")
        assert "cancelled" not in shown(pilot)
        for ask, yes in (("x", "y"), ("delete", "enter")):
            await press(pilot, ask)
            await until_shown(pilot, "Cancel the download of")
            await press(pilot, yes)
            await until_shown(pilot, "cancelled")
            await press(pilot, "space")
            await until_shown(pilot, "fetching")
        real.hub.tell(set={"bytes_per_s": None})
        await until_shown(pilot, "done", "100%", within_s=LOADS_S)


async def test_another_model_is_switched_to_pinned_and_unloaded_and_the_first_comes_back(
    real: RealDaemon,
) -> None:
    real.here.ok("pull", PULLED)
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await listed(pilot, "tiny")
        await until_shown(pilot, "on disk", "MiB on this disk")
        await press(pilot, "enter")
        await until_shown(pilot, "switching to", "nothing to fetch")
        await until_shown(pilot, "is ready: context", within_s=LOADS_S)
        await press(pilot, "enter")
        await until_shown(pilot, "1 ● ready  tiny-q4_1", within_s=LOADS_S)
        assert [one.current for one in real.models().values()] == [True]

        await listed(pilot, "tiny")
        await until_shown(pilot, "hf:me/Tiny-GGUF Q4_1  ready as tiny-q4_1")
        await press(pilot, "p")
        await until_shown(pilot, "is pinned: it stays in memory", "ready+")
        assert [one.pinned for one in real.models().values()] == [True]
        await press(pilot, "u")
        await until_shown(pilot, "u again: unload it")
        await press(pilot, "u")
        await until_shown(pilot, "is unloaded")
        await closed(pilot)
        await until_shown(pilot, "Nothing is served. The best choices", within_s=LOADS_S)
        assert real.models() == {}
        await _begun_without_a_hub(pilot)

        await listed(pilot, "smollm2-135m q41")
        await press(pilot, "enter")
        await until_shown(pilot, "is ready: context", within_s=LOADS_S)
        await press(pilot, "s")
        await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list")
        await closed(pilot)
        await until_shown(pilot, "1 ● ready  smollm2")


async def _begun_without_a_hub(pilot) -> None:
    """The first choice is of a repository that the hub here lacks."""
    await until_shown(pilot, "enter begins")
    await press(pilot, "enter")
    await until_shown(pilot, "✗ download  failed", "what to do:", within_s=30)
    await press(pilot, "slash")
    await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list")
    await closed(pilot)


async def test_another_quantization_and_context_show_their_costs_and_are_switched_to(
    real: RealDaemon,
) -> None:
    async with real.app().run_test(size=SIZE) as pilot:
        await looked(pilot)
        await listed(pilot, "qwen3-8b")
        for key in ("right", "left"):
            await press(pilot, key)
            await until_shown(pilot, "to fetch")
        await press(pilot, "slash")
        field = pilot.app.screen.query_one("#filter", Input)
        await until(pilot, lambda: pilot.app.focused is field, "the filter")
        field.value = "135m q41"
        for key in ("up", "pagedown", "pageup"):
            await press(pilot, key)
            await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list")
            await press(pilot, "slash")
        await press(pilot, "down", "plus", "equals_sign", "minus", "minus")
        await until_shown(pilot, "(asked for)")
        await press(pilot, "c")
        await write(pilot, "768")
        await pilot.press("enter")
        await until_shown(pilot, "768 (asked for)", "asking what that costs")
        await until(pilot, lambda: "asking what that costs" not in shown(pilot), "its costs")
        for key in ("question_mark", "escape"):
            await press(pilot, "question_mark")
            await until(pilot, lambda: isinstance(pilot.app.screen, Help), "help")
            await press(pilot, key)
            await until(pilot, lambda: isinstance(pilot.app.screen, Switcher), "the switcher")
        await press(pilot, "slash", "enter")
        await until_shown(pilot, "is ready: context 768", within_s=LOADS_S)
        await press(pilot, "enter")
        await until_shown(pilot, "768 tokens")
    wait_until(lambda: [one.context for one in real.models().values()] == [768], "one is left")


async def test_every_key_that_the_screen_has_was_pressed_here_or_in_test_screen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp()
    check_all_were_pressed(fingers, request, base, "test_screen.py", "test_screen_switching.py")
