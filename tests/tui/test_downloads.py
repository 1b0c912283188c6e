"""The screen of downloads: what is fetched, and the keys that pause, resume and cancel it."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot

from localllm.api.pull_views import PullErrorView, ThenView
from localllm.api.views import ServeRequest
from localllm.errors import NotFound
from localllm.tui.widgets.pull_table import PullTable
from tests.fakes.a_screen import app_for, shown, until, until_shown
from tests.fakes.scene import Scene
from tests.fakes.scripted_daemon import ScriptedDaemon

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("scene", ["downloading"], indirect=True),
]
HOSTILE = "evil\x1b[31m[b]\u202ename"


async def opened(pilot: Pilot[None], scene: Scene) -> PullTable:
    await pilot.press("3")
    await until_shown(pilot, "Here/size", scene.pulls[0].model[:12])
    return pilot.app.screen.query_one(PullTable)


def verbs(scene: Scene) -> list[tuple[str, str]]:
    return [(asked.verb, asked.name) for asked in scene.asked]


async def test_each_pull_has_a_row_and_the_selected_one_its_files(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        table = await opened(pilot, scene)
        assert table.row_count == len(scene.pulls)
        pull = scene.pulls[0]

        await until_shown(pilot, pull.state, pull.files[0].path[:12], "MiB/s")

        figures = f"{int(100 * pull.here / pull.size)}%"
        assert figures in shown(pilot)


async def test_space_pauses_the_selected_one_and_space_goes_on_with_it(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    which = scene.pulls[0].id
    scene.change_pull(which, "fetching")
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await pilot.press("space")
        await until_shown(pilot, "paused by the user")
        await pilot.press("p")
        await until(pilot, lambda: len(scene.asked) == 2, "the second order")

    assert verbs(scene) == [("pause", which), ("resume", which)]


async def test_x_asks_before_it_cancels(daemon: ScriptedDaemon, scene: Scene) -> None:
    which = scene.pulls[0].id
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await pilot.press("x")
        await until_shown(pilot, "half files are removed")
        await pilot.press("escape")
        await pilot.press("x")
        await until_shown(pilot, "half files are removed")
        assert not scene.asked
        await pilot.press("y")
        await until_shown(pilot, "cancelled")

    assert verbs(scene) == [("cancel", which)]


async def test_one_that_is_over_is_not_cancelled(daemon: ScriptedDaemon, scene: Scene) -> None:
    scene.change_pull(scene.pulls[0].id, "done")
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await pilot.press("x")
        await until_shown(pilot, "it is done already")
        await pilot.press("space")

    assert not scene.asked


async def test_one_that_is_here_and_waits_to_be_served_can_be_taken_back(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    which, model = scene.pulls[0].id, scene.pulls[0].model
    then = ThenView(how="switch", request=ServeRequest(model=model), reply=None, error=None)
    scene.change_pull(which, "done", then=then)
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await pilot.press("x")
        await until_shown(pilot, "It is here, and stays.")
        await pilot.press("y")
        await until(pilot, lambda: len(scene.asked) == 1, "the order")

    assert verbs(scene) == [("cancel", which)]


async def test_what_the_daemon_refuses_is_said_with_why_and_fix(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.refusals["pause"] = NotFound(
        "It is over.", why="it ended meanwhile", fix="localllm pull shows all"
    )
    scene.change_pull(scene.pulls[0].id, "fetching")
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await pilot.press("space")

        await until_shown(pilot, "It is over.", "it ended meanwhile", "localllm pull shows all")


async def test_a_failed_one_says_what_why_and_what_next(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    error = PullErrorView(
        message="The disk is full.\n  why: 3 GiB are free\n  fix: localllm gc", code="no_space"
    )
    scene.change_pull(scene.pulls[0].id, "failed", error=error)
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, scene)

        await until_shown(pilot, "The disk is full.", "why: 3 GiB are free", "next: localllm gc")


async def test_the_selected_one_stays_selected_while_others_come_and_go(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    first = scene.pulls[0]
    more = [msgspec.structs.replace(first, id=f"more-{n}", model=f"more-{n}") for n in range(3)]
    scene.pulls = [first, *more]
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        table = await opened(pilot, scene)
        await until(pilot, lambda: table.row_count == 4, "four rows")
        await pilot.press("down", "down")
        assert table.selected is not None
        assert table.selected.id == "more-1"

        scene.pulls = more
        await until(pilot, lambda: table.row_count == 3, "three rows")

        assert table.selected is not None
        assert table.selected.id == "more-1"


async def test_only_cells_that_have_changed_are_drawn_anew(
    daemon: ScriptedDaemon, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        table = await opened(pilot, scene)
        drawn: list[object] = []
        before = PullTable.update_cell

        def update_cell(self, row, column, value, **more):
            drawn.append(column)
            before(self, row, column, value, **more)

        monkeypatch.setattr(PullTable, "update_cell", update_cell)
        looks = scene.looks
        await until(pilot, lambda: scene.looks >= looks + 2, "two looks")
        assert drawn == []

        scene.change_pull(scene.pulls[0].id, speed=7.0 * (1 << 20))
        await until_shown(pilot, "7.0 MiB/s")

        assert drawn == ["speed"]
        assert table.row_count == len(scene.pulls)


async def test_names_and_notes_of_others_cannot_do_anything_to_the_screen(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    file = msgspec.structs.replace(scene.pulls[0].files[0], path=f"x/{HOSTILE}.gguf")
    scene.change_pull(
        scene.pulls[0].id, model=HOSTILE, note=HOSTILE, reason=HOSTILE, quant=HOSTILE, files=[file]
    )
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("3")

        await until_shown(pilot, "evil?[31m[b]?name")

        assert not {"\x1b", "\u202e"} & set(shown(pilot))


async def test_without_a_download_it_says_how_to_begin_one(
    daemon: ScriptedDaemon, scene: Scene
) -> None:
    scene.pulls = []
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("3")

        await until_shown(pilot, "Nothing is being downloaded", "Press s", "localllm pull MODEL")
        await pilot.press("space", "x")

    assert not scene.asked


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_all_that_matters_is_seen_at_any_size(
    daemon: ScriptedDaemon, scene: Scene, size: tuple[int, int]
) -> None:
    async with app_for(daemon).run_test(size=size) as pilot:
        await opened(pilot, scene)

        await until_shown(pilot, "Model", "Quant", "State", "Progress", "Here/size", "Speed")
        await until_shown(pilot, "Left", "Pause/resume", "Cancel")
