"""The screen of agents: which are here, their settings, copied, and the command that writes them."""

from __future__ import annotations

import msgspec
import pytest
from textual.pilot import Pilot

from localllm.agents.profile import read_agents
from localllm.api.agent_views import (
    AgentView,
    FoundAgentView,
    SettingsFileView,
)
from localllm.errors import LocalLLMError
from localllm.paths import bundled_profiles
from localllm.tui.agent_words import copied
from localllm.tui.screens.agents import Agents
from localllm.tui.widgets.agent_table import AgentTable
from tests.fakes.a_screen import app_for, shown, until, until_shown
from tests.fakes.scene import Scene
from tests.fakes.scripted_daemon import ScriptedDaemon

HOSTILE = "evil\x1b[31m[b]\u202ename"


def an_agent(id_: str, **more: object) -> FoundAgentView:
    said = {
        "name": id_.title(), "installed": True, "program": f"/usr/bin/{id_}", "connected": None,
        "writes": True, "launches": True, "checked": "1.0", "why_not": None,
    }  # fmt: skip
    return FoundAgentView(id=id_, **{**said, **more})


@pytest.fixture
def found(scene: Scene) -> list[FoundAgentView]:
    """What the daemon lists: all there are, of which three are here."""
    here = {"codex", "claude-code", "aider"}
    scene.found_agents = [
        an_agent(
            agent.id,
            name=agent.name,
            installed=agent.id in here,
            program=agent.programs[0] if agent.id in here else None,
            connected="qwen3-32b" if agent.id == "codex" else None,
            writes=agent.why_not is None and bool(agent.files),
            why_not=agent.why_not,
        )
        for agent in read_agents(bundled_profiles())
    ]
    return scene.found_agents


async def opened(pilot: Pilot[None], *texts: str) -> Agents:
    await pilot.press("6")
    await until_shown(pilot, *texts)
    screen = pilot.app.screen
    assert isinstance(screen, Agents)
    return screen


async def chosen(pilot: Pilot[None], name: str) -> None:
    screen = pilot.app.screen
    assert isinstance(screen, Agents)
    for _ in range(40):
        selected = screen._table.selected
        if selected is not None and selected.id == name:
            break
        await pilot.press("down")
    await until(
        pilot, lambda: screen._settings is not None and screen._settings.agent == name, "settings"
    )


@pytest.mark.anyio
async def test_those_that_are_here_come_first_with_the_settings_of_the_selected_one(
    daemon: ScriptedDaemon, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, "aider", "Claude Code", "Codex", "qwen3-32b")

        await chosen(pilot, "codex")

        await until_shown(pilot, "in ", "config.toml", "model")
        assert screen._table.row_count == len(found)
        assert [str(row.key.value) for row in list(screen._table.ordered_rows)[:3]] == [
            "aider",
            "claude-code",
            "codex",
        ]


@pytest.mark.anyio
async def test_c_copies_the_settings(
    daemon: ScriptedDaemon, scene: Scene, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, "Codex")
        await chosen(pilot, "codex")

        await pilot.press("c")
        await until_shown(pilot, "copied: Codex")

        assert scene.agent("codex").files[0].content.strip() in pilot.app.clipboard


@pytest.mark.anyio
async def test_w_shows_and_copies_the_command_and_writes_nothing(
    daemon: ScriptedDaemon, scene: Scene, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, "Codex")
        await chosen(pilot, "codex")

        await pilot.press("w")
        await until_shown(pilot, "localllm connect codex --write")

        assert pilot.app.clipboard == "localllm connect codex --write"
    assert not scene.asked


@pytest.mark.anyio
async def test_one_without_a_file_says_why_nothing_can_be_written(
    daemon: ScriptedDaemon, found: list[FoundAgentView]
) -> None:
    found[:] = [
        an_agent("env", writes=False),
        an_agent("jetbrains", writes=False, why_not="it asks its own servers"),
    ]
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, "Env", "cannot be")

        await pilot.press("w")
        await until_shown(pilot, "no file that could be")
        await pilot.press("down", "w")
        await until_shown(pilot, "its own servers")

        assert pilot.app.clipboard == ""


@pytest.mark.anyio
@pytest.mark.parametrize("scene", ["nothing_served"], indirect=True)
async def test_with_nothing_served_it_says_so_and_there_is_nothing_to_copy(
    daemon: ScriptedDaemon, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24), notifications=True) as pilot:
        await opened(pilot, "No model is served.", "next: localllm up")

        await pilot.press("c")

        await until_shown(pilot, "no settings to copy")


@pytest.mark.anyio
async def test_another_model_fills_the_settings_in_anew(
    daemon: ScriptedDaemon, scene: Scene, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, "Codex")
        await chosen(pilot, "codex")

        scene.change(scene.models[0].view.id, id="gemma-3")

        await until(
            pilot, lambda: screen._settings and screen._settings.model == "gemma-3", "the new one"
        )


@pytest.mark.anyio
async def test_r_looks_again(daemon: ScriptedDaemon, found: list[FoundAgentView]) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, "Codex")

        found[:] = [
            msgspec.structs.replace(one, connected="new-model") if one.id == "aider" else one
            for one in found
        ]
        await pilot.press("r")

        await until_shown(pilot, "new-model")


@pytest.mark.anyio
async def test_a_list_that_cannot_be_had_says_why(daemon: ScriptedDaemon, scene: Scene) -> None:
    scene.refusals["agents"] = LocalLLMError(
        "It cannot.", why="a folder is locked", fix="unlock it"
    )
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        await opened(pilot, "It cannot.", "why: a folder is locked", "next: unlock it")


@pytest.mark.anyio
async def test_names_and_settings_cannot_do_anything_to_the_screen_or_the_clipboard(
    daemon: ScriptedDaemon,
    scene: Scene,
    found: list[FoundAgentView],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Scene, "agent", lambda _self, _name: a_view(HOSTILE))
    found[:] = [an_agent("codex", name=HOSTILE, connected=HOSTILE)]
    async with app_for(daemon).run_test(size=(120, 40), notifications=True) as pilot:
        screen = await opened(pilot, "evil?[31m")
        await until(pilot, lambda: screen._settings is not None, "settings")
        await until_shown(pilot, "evil?[31m[b]?name")

        await pilot.press("c")
        await until_shown(pilot, "copied: evil?")

        assert not {"\x1b", "\u202e"} & set(shown(pilot) + pilot.app.clipboard)


def a_view(text: str = "x") -> AgentView:
    return AgentView(
        agent="codex", name=text, model=text, endpoint="http://127.0.0.1:1", context=1, output=1,
        needs_key=False, environment={"A": text}, steps=[text], notes=[text], warnings=[text],
        files=[SettingsFileView(file=text, language="toml", content=f"{text}\n")],
    )  # fmt: skip


def test_a_single_file_is_copied_as_it_is() -> None:
    view = msgspec.structs.replace(a_view(), environment={})

    assert copied(view) == "x\n"
    assert copied(a_view()) == "# in x:\nx\n\nexport A=x\n"


@pytest.mark.anyio
async def test_a_wider_window_has_room_for_whole_names_and_the_selected_one_stays(
    daemon: ScriptedDaemon, found: list[FoundAgentView]
) -> None:
    async with app_for(daemon).run_test(size=(80, 24)) as pilot:
        agents = await opened(pilot, "Environment v…")
        await pilot.press("down", "down")
        table = agents.query_one(AgentTable)
        before = table.selected
        assert before is not None

        await pilot.resize_terminal(120, 40)

        await until_shown(pilot, "Environment variables")
        await until(pilot, lambda: table.selected == before, "the selected one")
