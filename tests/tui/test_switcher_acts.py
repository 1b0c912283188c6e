"""What the switcher has done: switches, downloads, pins, unloads; by the calls that were made."""

from __future__ import annotations

import msgspec
import pytest

from localllm.api.status_views import ErrorView, RequestsView
from localllm.errors import EngineNeeded, NoSpace
from localllm.tui.screens.switcher import Switcher
from tests.fakes.a_screen import app_for, shown, until, until_shown
from tests.fakes.a_switcher import CODER, asked, at, body, last, opened, table
from tests.fakes.scene_parts import a_build, gib, not_up
from tests.fakes.scene_verbs import arrive, fetch_engine, have_pulled

pytestmark = pytest.mark.anyio

SMALL, NORMAL, WIDE = (80, 24), (120, 40), (200, 60)


async def test_enter_switches_to_what_is_here_and_shows_each_step(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("switch", "qwen3-8b")], "a switch")
        assert body(daemon) == ("qwen3-8b", "Q8_0", None)

        await until_shown(pilot, "✓ engine", "nothing to fetch", "▸ load", "its engine was started")
        daemon.scene.move("qwen3-8b", "warming", "it reads a short prompt")
        await until_shown(pilot, "✓ load", "▸ warm-up", "it reads a short prompt")
        arrive(daemon.scene, "qwen3-8b")
        await until_shown(pilot, "✓ ready", "qwen3-8b is ready: context 131072")
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Switcher), "it is closed")


async def test_what_is_not_here_is_asked_about_once_with_its_bytes(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*"coder")
        await until(pilot, lambda: len(table(pilot).rows) == 1, "one")
        await pilot.press("enter")
        await until_shown(pilot, "23.4 GiB (25,162,500,000 bytes) would be", "212.0 GiB are free")
        assert asked(daemon) == []

        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("pull", CODER)], "a pull")
        assert body(daemon) == (CODER, "Q6_K", None)
        daemon.scene.change_pull("p1", here=gib(8.65), speed=94e6, left=99.0)
        await until_shown(pilot, "▸ download", "50%", "8.7/17.3 GiB", "1m40s left")
        have_pulled(daemon.scene, "p1")
        await until_shown(pilot, "✓ download", "▸ load")
        arrive(daemon.scene, CODER)
        await until_shown(pilot, f"{CODER} is ready")
        assert asked(daemon) == [("pull", CODER)]


async def test_another_row_takes_the_question_back(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "down", "down", "enter")
        await until_shown(pilot, "would be")
        await pilot.press("down")
        await until(pilot, lambda: "would be" not in shown(pilot), "no question")
        await pilot.press("up", "enter")
        await until_shown(pilot, "would be")

        assert asked(daemon) == []


@pytest.mark.parametrize("scene", ["no_gpu"], indirect=True)
async def test_what_is_too_big_is_refused_with_numbers_before_anything_begins(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "llama")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "is too big for this machine: it needs 72.0 GiB of", "15.0 GiB")

        assert asked(daemon) == []


@pytest.mark.parametrize("scene", ["no_gpu"], indirect=True)
async def test_d_asks_before_it_fetches_what_is_too_big(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "llama")
        await pilot.press("d")
        await until_shown(pilot, "is too big for this machine", "d again: fetch it all the same")
        assert asked(daemon) == []

        await pilot.press("d")
        await until(pilot, lambda: asked(daemon) == [("pull", "llama-3.3-70b")], "a pull")
        assert (last(daemon)["anyway"], last(daemon)["then"]) == (True, None)


async def test_an_engine_that_fails_is_told_in_full_and_the_list_comes_back(daemon) -> None:
    error = ErrorView(reason="its memory ran out", fix="try 16384", log=["cudaMalloc failed"])
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("enter")
        await until_shown(pilot, "▸ load")
        view = not_up(daemon.scene.find("qwen3-8b").view, "failed", "it has given up", error)
        daemon.scene.change("qwen3-8b", view=msgspec.structs.replace(view, wanted=False))
        await until_shown(pilot, "✗ load", "could not be started", "its memory ran out")
        await until_shown(pilot, "| cudaMalloc failed", "what to do: try 16384")

        await pilot.press("escape")
        await until_shown(pilot, "qwen3-8b", "failed", "d Download")


async def test_an_engine_that_lacks_is_fetched_once_it_is_agreed_to(daemon) -> None:
    scene = daemon.scene
    scene.refusals["switch"] = EngineNeeded("No engine here.", why="none is", fix="localllm up")
    scene.builds = [a_build()]
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("enter")
        await until_shown(pilot, "✗ engine", "No engine here.", "llama.cpp b6000 for CUDA 12")
        await until_shown(pilot, "210 MiB from github.com, licence MIT", "enter: fetch the engine")
        assert asked(daemon) == []

        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("pull", "qwen3-8b")], "a pull")
        assert (last(daemon)["get_engine"], last(daemon)["then"]) == (True, "switch")
        fetch_engine(scene, "p1", 50 << 20)
        await until_shown(pilot, "▸ engine", "25%", "50.0/200.0 MiB")
        fetch_engine(scene, "p1", None)
        have_pulled(scene, "p1")
        await until_shown(pilot, "✓ engine", "▸ load")
        arrive(scene, "qwen3-8b")
        await until_shown(pilot, "qwen3-8b is ready")


async def test_what_the_daemon_refuses_is_told_in_place(daemon) -> None:
    daemon.scene.refusals["pull"] = NoSpace("The disk is full.", why="2 GiB are left", fix="gc")
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "down", "down", "enter", "enter")
        await until_shown(pilot, "✗ download", "The disk is full.", "2 GiB are left", "gc")


async def test_escape_leaves_it_going_on(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL, notifications=True) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "▸ download")
        await pilot.press("escape")
        await until_shown(pilot, f"{CODER} Q6_K: goes on in the background", "requests")
        have_pulled(daemon.scene, "p1")
        arrive(daemon.scene, CODER)
        await until_shown(pilot, f"{CODER} Q6_K is ready")


async def test_d_downloads_only(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("d")
        await until_shown(pilot, "23.4 GiB (25,162,500,000 bytes) would be", "fetch it only")
        assert asked(daemon) == []

        await pilot.press("d")
        await until_shown(pilot, f"{CODER} Q6_K is being fetched, 23.4 GiB")

        assert asked(daemon) == [("pull", CODER)]
        assert body(daemon) == (CODER, "Q6_K", None)
        assert (last(daemon)["anyway"], last(daemon)["then"]) == (False, None)


async def test_d_on_what_is_here_fetches_nothing(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("d")
        await until_shown(pilot, "is on this disk already")

        assert asked(daemon) == []


async def test_p_pins_and_unpins_what_is_served(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "serving")
        await pilot.press("p")
        await until_shown(pilot, "is pinned: it stays in memory", "ready+", "ready, pinned")
        await pilot.press("p")
        await until_shown(pilot, "is not pinned any more")

        assert asked(daemon) == [("pin", "qwen3-32b"), ("unpin", "qwen3-32b")]


async def test_u_unloads_what_is_served(daemon) -> None:
    daemon.scene.change("qwen3-32b", requests=RequestsView(active=0, waiting=0, total=9))
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "u")
        await until_shown(pilot, "qwen3-32b is unloaded")

        assert asked(daemon) == [("unload", "qwen3-32b")]


async def test_u_asks_before_it_unloads_what_answers_or_is_pinned(daemon) -> None:
    name = "qwen3-32b"
    daemon.scene.change(name, pinned=True, requests=RequestsView(active=2, waiting=0, total=9))
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "u")
        await until_shown(pilot, "qwen3-32b answers 2 requests and is pinned.")
        await pilot.press("down", "up", "u")  # another row takes it back
        await until_shown(pilot, "u again: unload it")
        assert asked(daemon) == []

        await pilot.press("u")
        await until_shown(pilot, f"{name} is unloaded")
        assert asked(daemon) == [("unload", name)]


async def test_who_opens_it_again_sees_the_switch_that_is_under_way(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "▸ download")
        looks = daemon.scene.looks
        await pilot.press("escape")
        await until(pilot, lambda: daemon.scene.looks > looks + 1, "another look")

        await pilot.press("s")
        await until_shown(pilot, f"switching to {CODER} Q6_K", "▸ download")
        have_pulled(daemon.scene, "p1")
        await until_shown(pilot, "▸ load")
        arrive(daemon.scene, CODER)
        await until_shown(pilot, f"{CODER} is ready")


async def test_another_screen_sees_it_too_and_the_first_may_be_gone(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "▸ download")
    have_pulled(daemon.scene, "p1")

    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, f"switching to {CODER}", "▸ load")
        arrive(daemon.scene, CODER)
        await until_shown(pilot, f"{CODER} is ready")


async def test_s_chooses_another_while_one_is_under_way_and_the_last_wins(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "▸ download", "s: choose another")
        await pilot.press("s")
        await until_shown(pilot, CODER, "d Download")
        await pilot.press("slash", *["backspace"] * 5, *"8b")
        await until(pilot, lambda: "qwen3-8b:q8_0" in table(pilot).rows, "another")
        await pilot.press("enter")
        await until_shown(pilot, "switching to qwen3-8b Q8_0", "▸ load")

        assert daemon.scene.pulls[0].then is None
        arrive(daemon.scene, "qwen3-8b")
        await until_shown(pilot, "qwen3-8b is ready")


@pytest.mark.parametrize(("key", "said"), [("p", "Only what is served"), ("u", "not in memory")])
async def test_p_and_u_do_nothing_to_what_is_not_served(daemon, key, said) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press(key)
        await until_shown(pilot, said)

        assert asked(daemon) == []
