"""The dashboard, by what a person reads there."""

from __future__ import annotations

import msgspec
import pytest
from textual.widgets import DataTable

from localllm.tui.screens.request import RequestScreen
from tests.fakes import scenes
from tests.fakes.a_screen import app_for, shown, too_wide, until, until_shown
from tests.fakes.scene_parts import a_request, over

pytestmark = pytest.mark.anyio

SMALL, NORMAL, WIDE = (80, 24), (120, 40), (200, 60)


async def test_one_look_says_how_the_device_the_model_and_the_requests_are(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0", "28.0/31.8 GiB", "97%", "512/575 W", "68°C")
        await until_shown(pilot, "● ready", "qwen3-32b", "Q4_K_M", "llama-server", "64/64 layers")
        await until_shown(pilot, "58%/85%", "(58) tok/s", "first 0.4 s", "1 active 0 wait")
        await until_shown(pilot, "▶ generating", "claude-cli", "18,432", "97%", "527")


@pytest.mark.parametrize("size", [SMALL, NORMAL, WIDE])
@pytest.mark.parametrize(
    "scene",
    ["rtx5090", "two_5090s", "m3_ultra", "no_gpu", "nothing_served", "downloading", "failed"],
    indirect=True,
)
async def test_every_scene_has_room_at_every_size(daemon, size) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await until(pilot, lambda: pilot.app.world.now is not None, "a look")
        await until_shown(pilot, daemon.scene.devices[0].id, "weights", "Switch", "Quit")

        await until(pilot, lambda: daemon.scene.looks > 1, "another look")
        assert too_wide(pilot) == []


async def test_a_large_window_says_whose_memory_it_is_in_numbers(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "NVIDIA GeForce RTX 5090", "97% busy", "28.0 of 31.8 GiB")
        await until_shown(pilot, "1 qwen3-32b 18.5 weights, 7.5 KV, 0.9 buffers", "others 1.1")
        await until_shown(pilot, "27.0 GiB (26.9 planned)", "32,768 tokens", "on cuda:0")
        await until_shown(pilot, "prompts kept on disk", "saved 6 min 52 s today")


@pytest.mark.parametrize("scene", ["m3_ultra"], indirect=True)
async def test_an_apple_chip_says_its_wired_limit_and_how_short_memory_is(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "wired limit 464.0 GiB", "memory pressure warn")
        assert "cpu" not in shown(pilot)  # its memory is the same
        await until_shown(pilot, f"! warning: {daemon.scene.warnings[0]}")
        await until_shown(pilot, "88%/85%!")  # over the line, and the sign says so


@pytest.mark.parametrize("scene", ["throttled"], indirect=True)
async def test_a_hot_chip_has_a_sign_and_words(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "! throttled", f"! warning: {daemon.scene.warnings[0]}")

        daemon.scene.change_device("cuda:0", throttled=None)
        daemon.scene.warnings = []

        await until(
            pilot,
            lambda: "throttled" not in shown(pilot) and "warning" not in shown(pilot),
            "all well",
        )


@pytest.mark.parametrize("scene", ["wrong_settings"], indirect=True)
async def test_a_wrong_file_of_settings_is_said_with_its_line_until_it_is_mended(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(
            pilot,
            "✖ error: config.toml:7:1 is wrong. there is no setting supervision.max_crash",
            "max_crashes instead of max_crash in config.toml:7:1",
            "! warning: config.toml: port is 11711 until the daemon is started again",
        )

        daemon.scene.config = None

        await until(pilot, lambda: "config.toml" not in shown(pilot), "all well")


async def test_a_lost_device_says_why_in_the_place_of_its_bar(daemon) -> None:
    daemon.scene.change_device("cuda:0", lost="its driver does not answer")

    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0  ✖ lost: its driver does not answer", "localllm doctor")


@pytest.mark.parametrize("scene", ["failed"], indirect=True)
async def test_a_failed_model_says_why_and_what_to_do(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "✖ failed", "✖ error: qwen3-32b failed", "memory ran out")
        await until_shown(pilot, "fix: localllm up", "qwen3-32b --context 16384")


async def test_nothing_stands_above_all_while_all_is_well(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "cuda:0")

        assert not pilot.app.screen.query_one("#notices").display


@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_where_nothing_is_served_there_is_a_choice_and_then_the_requests(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until(pilot, lambda: pilot.app.screen.query("#first"), "the choices")
        assert not pilot.app.screen.query_one("#requests").display

        daemon.scene.models = scenes.rtx5090().models

        await until_shown(pilot, "No requests yet. 5 chats with what is served")
        assert not pilot.app.screen.query_one("#first").display
        assert "Request  " not in shown(pilot)  # there is none that enter could show

        daemon.scene.requests = scenes.rtx5090().requests

        await until(pilot, lambda: pilot.app.screen.query_one("#requests").has_focus, "requests")
        await until_shown(pilot, "Request  ", "claude-cli")


@pytest.mark.parametrize("scene", ["failed"], indirect=True)
async def test_a_model_that_failed_tells_the_keys_that_help_and_nothing_of_its_work(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "4 shows its log, s chooses another model")

        assert "prompts kept" not in shown(pilot)
        assert "requests done" not in shown(pilot)


@pytest.mark.parametrize("scene", ["throttled", "failed"], indirect=True)
async def test_the_edge_of_notices_is_that_of_the_worst(daemon, scene) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until(pilot, lambda: pilot.app.screen.query_one("#notices").display, "a notice")
        _, colour = pilot.app.screen.query_one("#notices").styles.border_left

        level = "warning" if scene.models[0].view.state == "ready" else "error"
        assert colour.hex.lower() == pilot.app.theme_variables[level].lower()


async def test_a_model_that_generates_shows_its_speed_of_now(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "(58) tok/s")  # as measured: it rests
        tokens = [48_213]

        def faster() -> bool:
            tokens[0] += 40
            daemon.scene.change("qwen3-32b", generated=tokens[0])
            text = shown(pilot)
            return "(58) tok/s" not in text and "█" in text and "tok/s" in text

        await until(pilot, faster, "the speed of this moment")


@pytest.mark.parametrize("scene", ["busy"], indirect=True)
async def test_looks_leave_the_selected_request_selected(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "▶ generating")
        await pilot.press("down", "down", "down")
        table = pilot.app.screen.query_one(DataTable)
        before = selected(table)

        first, *rest = daemon.scene.live  # the first ends, another one comes
        daemon.scene.live = [*rest, a_request(77, client="newcomer/1")]
        daemon.scene.recent = [msgspec.structs.replace(first, phase="done"), *daemon.scene.recent]

        await until_shown(pilot, "newcomer/1")
        looks = daemon.scene.looks
        await until(pilot, lambda: daemon.scene.looks >= looks + 2, "two looks more")
        assert selected(table) == before
        shown_ones = [*daemon.scene.live, *daemon.scene.recent[:50]]
        assert keys(table) == [one.id for one in shown_ones]


def selected(table: DataTable) -> str | None:
    return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value


def keys(table: DataTable) -> list[str | None]:
    return [row.key.value for row in table.ordered_rows]


async def test_a_request_moves_on_in_its_row(daemon) -> None:
    daemon.scene.live = [a_request(1, phase="prefill", prompt_read=9_216, generated_tokens=0)]
    daemon.scene.recent = []

    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "» prefill 50%")

        daemon.scene.live = []
        daemon.scene.recent = [over(1, phase="failed", error="engine_gone", status=502)]

        await until_shown(pilot, "✖ failed")
        assert pilot.app.screen.query_one(DataTable).row_count == 1


async def test_a_window_that_grows_gives_names_more_room_and_keeps_the_selection(daemon) -> None:
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "claude-cli/2.…")
        await pilot.press("down", "down")
        table = pilot.app.screen.query_one(DataTable)
        before = selected(table)

        await pilot.resize_terminal(*NORMAL)

        await until_shown(pilot, "claude-cli/2.1.330")
        assert selected(table) == before


async def test_enter_shows_all_of_a_request_and_escape_goes_back(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "▶ generating")

        await pilot.press("enter")

        await until_shown(pilot, "req_0000000000000001", "claude-cli/2.1.330", "17,920 (97%)")
        await until_shown(pilot, "billing header", daemon.scene.live[0].instance, "first token")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, RequestScreen), "back")


async def test_a_double_click_on_a_request_and_a_click_on_a_key_do_what_keys_do(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "▶ generating")

        await pilot.double_click("#requests", offset=(20, 2))
        await until_shown(pilot, "req_0000000000000001", "17,920 (97%)")

        await pilot.click("FooterKey")
        await until(pilot, lambda: not isinstance(pilot.app.screen, RequestScreen), "back")


async def test_a_request_that_is_shown_is_looked_at_until_it_is_over(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "▶ generating")
        await pilot.press("enter")
        await until_shown(pilot, "527 tokens")

        daemon.scene.live = []
        daemon.scene.recent = [over(1)]

        await until_shown(pilot, "811 tokens", "200")
        daemon.scene.recent = [over(1, generated_tokens=999)]
        looks = daemon.scene.looks
        await until(pilot, lambda: daemon.scene.looks >= looks + 3, "time for one look more")
        assert "811 tokens" in shown(pilot)


async def test_a_request_that_nobody_knows_any_more_says_so(daemon) -> None:
    async with app_for(daemon).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "▶ generating")
        daemon.scene.live, daemon.scene.recent = [], []

        pilot.app.screen.query_one(DataTable).action_select_cursor()

        await until_shown(pilot, "why: those under way and the last 200 are known")


EVIL = "evil\x1b]0;title\x07\x1b[31m\x9b2J\u202eabc[b]bold[/b]\nnext"


async def test_what_others_named_cannot_reach_the_terminal(daemon) -> None:
    daemon.scene.change("qwen3-32b", id=EVIL, why=EVIL, warnings=[EVIL], device=EVIL, quant=EVIL)
    daemon.scene.live = [a_request(1, client=EVIL, model=EVIL, asked=EVIL, conversation=EVIL)]
    daemon.scene.warnings = [EVIL]
    daemon.scene.host = EVIL
    for size in (SMALL, NORMAL, WIDE):
        async with app_for(daemon).run_test(size=size) as pilot:
            await until_shown(pilot, "evil?]0;title?", "warning")
            await pilot.press("enter")
            await until_shown(pilot, "[b]bold[/b]?next")
            await pilot.press("escape")
            await until_shown(pilot, "cuda:0")

            assert all(c.isprintable() for c in shown(pilot) if c != "\n")


@pytest.mark.parametrize("scene", ["busy"], indirect=True)
async def test_without_colour_the_parts_of_a_bar_and_the_states_are_other_characters(
    daemon, monkeypatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async with app_for(daemon, no_color=True).run_test(size=NORMAL) as pilot:
        await until_shown(pilot, "█ weights", "▓ KV cache", "▒ buffers", "◆ other programs")
        await until_shown(pilot, "· free", "- reserve", "● ready", "… waiting", "✖ failed")
        styles = [
            segment.style.color.triplet
            for strip in pilot.app.screen._compositor.render_strips(pilot.app.size)
            for segment in strip.apply_filter(
                pilot.app._filters[0], pilot.app.screen.background_colors[1]
            )
            if segment.style and segment.style.color and segment.style.color.triplet
        ]

        assert styles
        assert all(red == green == blue for red, green, blue in styles)


async def test_a_notice_that_becomes_longer_is_seen_to_its_end(daemon) -> None:
    daemon.scene.warnings = ["short"]
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "! warning: short")

        daemon.scene.warnings = [f"{'long ' * 30}to its end"]

        await until_shown(pilot, "to its end")


async def test_in_a_narrow_window_the_current_one_of_several_and_a_pinned_one_are_marked(
    daemon,
) -> None:
    first = daemon.scene.models[0]
    other = msgspec.structs.replace(first.view, id="gemma", instance="gemma:1", current=False)
    daemon.scene.models = [first, msgspec.structs.replace(first, view=other)]
    daemon.scene.change("gemma", pinned=True)
    async with app_for(daemon).run_test(size=SMALL) as pilot:
        await until_shown(pilot, "1 ● ready*  qwen3-32b", "2 ● ready+  gemma")

        await pilot.resize_terminal(*NORMAL)

        await until_shown(pilot, "(26.9 planned)  current", "(26.9 planned)  pinned")
