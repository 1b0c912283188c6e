"""The plan and the first start, by what a person reads there."""

from __future__ import annotations

import threading

import msgspec
import pytest
from textual import events
from textual.widgets import DataTable

from localllm.errors import ModelNotFound
from localllm.tui.screens.explained import Explained
from localllm.tui.widgets.first import FirstChoices
from tests.fakes.a_screen import app_for, shown, too_wide, until, until_shown
from tests.fakes.scene_plans import plan_on
from tests.fakes.scene_verbs import arrive, have_pulled

pytestmark = pytest.mark.anyio

SMALL, NORMAL, WIDE = (80, 24), (120, 40), (200, 60)


async def opened(pilot) -> None:
    await until(pilot, lambda: pilot.app.world.now is not None, "a look")
    await pilot.press("2")
    await until_shown(pilot, "takes", "verdict")


def counted(daemon):
    seen = []

    def plan(probe, wanted):
        seen.append(wanted)
        return plan_on(probe, wanted)

    daemon.scene.plan = plan
    return seen


@pytest.mark.parametrize("size", [SMALL, NORMAL, WIDE])
async def test_every_quantization_of_the_served_model_has_its_figures(daemon, size) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await opened(pilot)
        await until_shown(pilot, "qwen3-32b on NVIDIA GeForce RTX 5090 (30.8 GiB usable)")
        await until_shown(pilot, "* Q6_K", "16384", "███", "30.1 GiB", "39 to 51", "fits")
        await until_shown(pilot, "Q8_0", "Q4_K_M", "IQ2_M", "fits partly")
        await until_shown(pilot, "the best quality that fits with a useful context")
        await until_shown(pilot, "█ weights", "Q6_K: all of it on the device: 30.1 GiB")

        assert too_wide(pilot) == []


async def test_a_wide_window_has_every_column(daemon) -> None:
    async with app_for(daemon).run_test(size=WIDE) as pilot:
        await opened(pilot)
        await until_shown(pilot, "KV", "slots", "host", "quality", "0.0040", "f16")


async def test_the_selected_one_says_what_it_lacks(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "* Q6_K")
        await pilot.press("up")
        await until_shown(pilot, "Q8_0: some layers stay on the host", "not whole on the device")


@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_with_nothing_served_it_is_the_best_of_each_model(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "* qwen3-coder-30b-a3b", "gpt-oss-20b", "llama-3.3-70b")


async def test_another_model_and_another_machine_are_planned_by_name(daemon) -> None:
    seen = counted(daemon)
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "* Q6_K")
        await pilot.press("m", *["backspace"] * 9, *"qwen3-8b", "enter")
        await until_shown(pilot, "qwen3-8b on NVIDIA", "* Q8_0")
        await pilot.press("x", *"rtx4090", "enter")
        await until(pilot, lambda: len(seen) == 3, "a third plan")
        await until_shown(pilot, "qwen3-8b on NVIDIA")

        assert (seen[1].model, seen[1].hardware) == ("qwen3-8b", None)
        assert (seen[2].model, seen[2].hardware) == ("qwen3-8b", "rtx4090")


async def test_escape_leaves_the_line_and_the_plan_as_they_were(daemon) -> None:
    seen = counted(daemon)
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "* Q6_K")
        await pilot.press("m", "1", "q", "escape")
        await until(pilot, lambda: isinstance(pilot.app.focused, DataTable), "the table")

        assert len(seen) == 1
        assert "* Q6_K" in shown(pilot)


async def test_e_shows_the_formulas_of_the_selected_one(daemon) -> None:
    seen = counted(daemon)
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "* Q6_K")
        await pilot.press("down", "e")
        await until_shown(pilot, "number by number", "qwen3-32b Q4_K_M", "KV cache")
        await until_shown(pilot, "= layers x tokens x heads x (key + value) x 2 bytes")
        await until_shown(pilot, "one stream: 63 tok/s at an empty cache, 50 at a full one")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Explained), "the plan")

        assert (seen[-1].quant, seen[-1].explain) == ("Q4_K_M", True)


async def test_an_error_is_told_in_place_with_what_to_do(daemon) -> None:
    daemon.scene.refusals["plan"] = ModelNotFound("Nobody knows it.", why="no disk", fix="ask ls")
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("2")
        await until_shown(pilot, "no plan of qwen3-32b", "Nobody knows it.", "no disk", "ask ls")


async def test_a_name_is_only_a_name(daemon) -> None:
    evil = "evil\x1b[2J[b]\u202e"

    def plan(probe, wanted):
        view = plan_on(probe, wanted)
        bad = [msgspec.structs.replace(one, quant=evil, reason=evil) for one in view.candidates]
        return msgspec.structs.replace(view, candidates=bad, why=evil)

    daemon.scene.plan = plan
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "evil?[2J[b]")

        assert not set("\x1b\u202e") & set(shown(pilot))


@pytest.mark.parametrize("size", [SMALL, NORMAL, WIDE])
@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_the_first_start_offers_three_and_enter_begins(daemon, size) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await until_shown(pilot, "Nothing is served.", "qwen3-coder-30b-a3b Q6_K  best for chat")
        await until_shown(pilot, "23.4 GiB to fetch", "461 tok/s predicted", "context 65536")
        await until_shown(pilot, "qwen3-8b Q8_0  on this disk already, nothing to fetch", "⏎ Begin")

        await pilot.press("enter")
        await until_shown(pilot, "▸ download")
        have_pulled(daemon.scene, "p1")
        await until_shown(pilot, "▸ load")
        arrive(daemon.scene, "qwen3-coder-30b-a3b")
        await until_shown(pilot, "qwen3-coder-30b-a3b is ready")

        assert [one.verb for one in daemon.scene.asked] == ["pull"]


@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_on_the_first_start_what_is_here_begins_without_a_download(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "on this disk already")
        await pilot.press("down", "enter")
        await until_shown(pilot, "nothing to fetch", "▸ load")

        assert [(one.verb, one.name) for one in daemon.scene.asked] == [("switch", "qwen3-8b")]


async def test_a_late_answer_is_not_shown_in_the_place_of_a_newer_one(daemon) -> None:
    late, answered = threading.Event(), threading.Event()

    def plan(probe, wanted):
        if wanted.model == "qwen3-8b":
            late.wait(10)
            answered.set()
        return plan_on(probe, wanted)

    daemon.scene.plan = plan
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await opened(pilot)
        await ask(pilot, "qwen3-8b")
        await until_shown(pilot, "planning qwen3-8b")
        await ask(pilot, "gpt-oss-20b")
        await until_shown(pilot, "gpt-oss-20b on NVIDIA")

        late.set()
        await until(pilot, answered.is_set, "the old answer")
        looks = daemon.scene.looks
        await until(pilot, lambda: daemon.scene.looks >= looks + 2, "time for it to come")

        assert "gpt-oss-20b on NVIDIA" in shown(pilot)


async def ask(pilot, model) -> None:
    await pilot.press("m", "ctrl+u", *model, "enter")


async def test_formulas_that_cannot_be_had_leave_the_plan_as_it_is(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL, notifications=True) as pilot:
        await opened(pilot)
        await until_shown(pilot, "the best quality that fits")
        daemon.scene.refusals["plan"] = ModelNotFound("Gone.", why="it was removed", fix="pull it")

        await pilot.press("e")

        await until_shown(pilot, "Gone.", "fix: pull it", "the best quality that fits")


async def test_what_is_pasted_into_the_line_is_harmless(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await opened(pilot)
        await pilot.press("m", "ctrl+u")
        pilot.app.screen.focused.post_message(events.Paste("a\x1b[31m\u202eb"))

        await until_shown(pilot, "a?[31m?b")
        assert not {"\x1b", "\u202e"} & set(shown(pilot))


@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_on_the_first_start_a_plan_that_could_not_be_had_is_asked_for_again(
    daemon, monkeypatch
) -> None:
    monkeypatch.setattr(FirstChoices, "again_s", 0.1)
    busy = ModelNotFound("It is busy.", why="it tidies up", fix="wait")
    daemon.scene.refusals["plan"] = busy
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "It is busy.", "why: it tidies up")

        del daemon.scene.refusals["plan"]

        await until_shown(pilot, "qwen3-coder-30b-a3b Q6_K  best for chat", "⏎ Begin")
