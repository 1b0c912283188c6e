"""The switcher, by its keys and by what the daemon was asked for."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from textual.widgets import Input

from localllm.api.views import PlanRequest
from localllm.errors import NoNetwork
from localllm.tui.errands import Came
from localllm.tui.screens.switcher import Switcher
from localllm.tui.widgets.choice_table import ChoiceTable
from localllm.tui.widgets.chooser import Chooser
from tests.fakes.a_screen import app_for, shown, until, until_shown
from tests.fakes.a_switcher import CODER, asked, at, body, counted, opened, table
from tests.fakes.scene_parts import a_model, an_instance
from tests.fakes.scene_plans import plan_on

pytestmark = pytest.mark.anyio

SMALL, NORMAL, WIDE = (80, 24), (120, 40), (200, 60)


@pytest.mark.parametrize("key", ["s", "/"])
@pytest.mark.parametrize("size", [SMALL, NORMAL, WIDE])
async def test_every_model_has_its_figures_and_verdict(daemon, size, key) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await opened(pilot, key)
        await until_shown(pilot, "Q6_K", "65536", "30.3 GiB", "461", "23.4 GiB", "fits")
        await until_shown(pilot, "ready", "on disk", "58 tok/s measured")

        assert all(len(line) <= size[0] for line in shown(pilot).split("\n"))


async def test_a_wide_window_draws_the_memory_and_says_what_was_measured(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "███", "58 measured", "461 predicted")


@pytest.mark.parametrize("scene", ["no_gpu"], indirect=True)
async def test_a_verdict_is_a_word_with_its_reason_below(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "llama")
        await until_shown(pilot, "too big", "too big: it needs 72.0 GiB of 15.0 GiB")


async def test_what_comes_first_is_shown_first(daemon) -> None:
    daemon.scene.slow_s["plan"] = 5.0
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, "qwen3-8b", "on disk")
        assert CODER not in shown(pilot)
        daemon.over.set()  # the plan comes now
        await until_shown(pilot, CODER)


async def test_a_plan_that_fails_is_told_and_the_disk_is_there(daemon) -> None:
    daemon.scene.refusals["plan"] = NoNetwork("No hub.", why="a cable is loose", fix="push it")
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, "qwen3-8b", "a cable is loose", "push it")


async def test_letters_filter_and_the_selection_stays(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "down", "down")
        chosen = table(pilot).selected_key
        await pilot.press("q", "w", "e")  # no commands of the list: they filter
        await until(pilot, lambda: "gpt-oss" not in shown(pilot), "the filter")

        assert chosen == f"{CODER}:q6_k" == table(pilot).selected_key
        assert pilot.app.screen.query_one(Input).value == "qwe"
        assert asked(daemon) == []


async def test_the_first_down_goes_to_what_the_filter_has_found_and_its_keys_mean_that(
    daemon,
) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*"332b")  # what is served, and another quantization of it
        await until(pilot, lambda: len(table(pilot).rows) == 2, "both")
        await pilot.press("down", "-")
        await until_shown(pilot, "16384 (asked for)")
        await until(pilot, lambda: "asking what that costs" not in shown(pilot), "its costs")
        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("switch", "qwen3-32b")], "a switch")

        assert body(daemon) == ("qwen3-32b", None, 16_384)


async def test_answers_that_come_late_move_no_selection(daemon) -> None:
    daemon.scene.slow_s["plan"] = 5.0
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, "qwen3-8b", "on disk")
        await pilot.press("down", "down")
        await until(pilot, lambda: table(pilot).selected_key == "qwen3-8b:q8_0", "the second")
        daemon.scene.models.insert(0, a_model(an_instance("gpt-oss-20b", quant="Q8_0")))
        daemon.over.set()  # the plan comes now
        await until_shown(pilot, CODER)
        await until(pilot, lambda: table(pilot).cursor_row == 2, "a row before it")

        assert table(pilot).selected_key == "qwen3-8b:q8_0"
        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("switch", "qwen3-8b")], "a switch")


async def test_an_answer_that_comes_with_a_key_does_not_take_the_key_back(daemon) -> None:
    daemon.scene.slow_s["plan"] = 5.0
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, "qwen3-8b", "on disk")
        await pilot.press("down")
        chooser = pilot.app.screen.query_one(Chooser)

        table(pilot).action_cursor_down()  # the table's word of it has not come yet
        chooser._came(Came("plan", plan_on(daemon.scene.hardware, PlanRequest())))
        await until_shown(pilot, CODER)

        assert table(pilot).selected_key == "qwen3-8b:q8_0" == chooser.row.base.key


async def test_what_is_served_by_another_name_than_it_is_listed_by_says_so(daemon) -> None:
    scene, address = daemon.scene, "hf:me/Tiny-GGUF"
    stored = scene.shown_store().models[-1]
    stored = msgspec.structs.replace(stored, name=f"{address}:Q4_1", quant="Q4_1", path="/t.gguf")
    scene.store = msgspec.structs.replace(scene.shown_store(), models=[stored])
    scene.models = [a_model(an_instance("tiny-q4_1", quant="Q4_1", file="/t.gguf", pinned=True))]
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s", *"tiny")

        await until_shown(pilot, f"{address} Q4_1  ready as tiny-q4_1, pinned")
        assert len(table(pilot).rows) == 1


async def test_letters_in_the_filter_are_text(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("d", "p", "u", "1", "q")

        assert pilot.app.screen.query_one(Input).value == "dpu1q"
        assert isinstance(pilot.app.screen, Switcher)
        assert asked(daemon) == []


async def test_a_look_at_the_daemon_moves_nothing(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press("down", "down", "down")
        before, looks = table(pilot).selected_key, daemon.scene.looks
        daemon.scene.change("qwen3-32b", generated=50_000)
        await until(pilot, lambda: daemon.scene.looks > looks + 2, "more looks")

        assert table(pilot).selected_key == before
        assert table(pilot).cursor_row == 2


async def test_the_keys_that_work_are_below(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await until_shown(pilot, "List", "Switch", "Close")
        assert "Download" not in shown(pilot)
        await pilot.press("down")
        await until_shown(pilot, "d Download", "p Pin", "u Unload", "Quant", "Context", "Close")


async def test_another_quantization_asks_the_plan_once_and_shows_what_it_costs(daemon) -> None:
    seen = counted(daemon)
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "coder")
        await pilot.press("right")
        await until_shown(pilot, "asking what that costs", "65536")
        await until_shown(pilot, "Q4_K_M", "131072", "17.2 GiB to fetch")
        await pilot.press("right", "left", "left", "right")
        await until_shown(pilot, "Q4_K_M", "17.2 GiB to fetch")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: asked(daemon) == [("pull", CODER)], "a pull")

        assert seen == [(None, None), (CODER, None)]
        assert body(daemon) == (CODER, "Q4_K_M", None)


async def test_context_goes_by_doubling_and_is_asked_for_once_the_keys_rest(daemon) -> None:
    seen = counted(daemon)
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("-", "-", "-", "+")
        await until_shown(pilot, "32768 (asked for)", "13.5 GiB of 30.8 GiB")
        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("switch", "qwen3-8b")], "a switch")

        assert seen[:2] == [(None, None), ("qwen3-8b", 32_768)]
        assert body(daemon) == ("qwen3-8b", "Q8_0", 32_768)


async def test_a_context_can_be_typed_and_given_back(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "8b")
        await pilot.press("c", *"20000", "enter")
        await until_shown(pilot, "20000 (asked for)", "11.8 GiB of 30.8 GiB")
        await pilot.press("c", "enter")
        await until_shown(pilot, "131072", "27.0 GiB of 30.8 GiB")
        await pilot.press("c", "9", "escape")
        await until(pilot, lambda: isinstance(pilot.app.focused, ChoiceTable), "the list again")

        assert isinstance(pilot.app.screen, Switcher)


@pytest.mark.parametrize("scene", ["no_gpu"], indirect=True)
async def test_a_context_that_is_too_big_is_refused(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await at(pilot, "qwen3-8b", filtered="8b")
        await pilot.press("+")
        await until_shown(pilot, "65536 (asked for)", "too big")
        await pilot.press("enter")
        await until_shown(pilot, "qwen3-8b Q8_0 is too big for this machine")

        assert asked(daemon) == []


async def test_an_address_of_the_hub_is_asked_for_once_it_is_typed_to_its_end(daemon) -> None:
    address = "hf:unsloth/new-GGUF"
    seen = []

    def plan(probe, wanted):
        seen.append(wanted.model)
        if wanted.model != address:
            return plan_on(probe, wanted)
        view = plan_on(probe, msgspec.structs.replace(wanted, model="gpt-oss-20b"))
        named = [msgspec.structs.replace(one, model=address) for one in view.candidates]
        return msgspec.structs.replace(view, candidates=named)

    daemon.scene.plan = plan
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*address, "enter")
        await until_shown(pilot, f"{address} Q8_0", "27.6 GiB of 30.8 GiB")
        await pilot.press("enter")
        await until_shown(pilot, f"{address} Q8_0 is not here: 20.7 GiB")
        await pilot.press("enter")
        await until(pilot, lambda: asked(daemon) == [("pull", address)], "a pull")

        assert seen == [None, address]
        assert body(daemon) == (address, "Q8_0", None)


async def test_what_cannot_be_had_says_why_in_the_place_of_its_verdict(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await opened(pilot)
        await pilot.press(*"hf:no/such", "enter")
        await until_shown(pilot, "No model is called 'hf:no/such'.")
        await pilot.press("enter", "enter")
        await until_shown(pilot, "it is in no profile")

        assert asked(daemon) == []


async def test_control_characters_in_names_are_not_obeyed(daemon) -> None:
    evil = "evil\x1b[31m[red]\u202e-8b"
    known = daemon.scene.shown_store()
    daemon.scene.store = msgspec.structs.replace(
        known, models=[msgspec.structs.replace(known.models[0], name=evil, quant="\x07Q4")]
    )
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s")
        await until_shown(pilot, "evil?[31m[red]?-8b")
        await pilot.press(*"evil", "down")
        await until_shown(pilot, "No model is called 'evil")

        assert not set("\x1b\x07\u202e") & set(shown(pilot))


async def test_an_answer_for_a_closed_switcher_does_no_harm(daemon) -> None:
    daemon.scene.slow_s["plan"] = 0.3
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await pilot.press("s", "escape", "s")
        await until_shown(pilot, CODER)
        await asyncio.sleep(0)

        assert isinstance(pilot.app.screen, Switcher)
