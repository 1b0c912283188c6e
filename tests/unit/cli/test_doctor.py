"""`localllm doctor --agent`: where the prefix of an agent's prompts breaks, and how that is mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from localllm.agents.errors import NoSuchAgent
from localllm.api.parting_views import BreakView, PartingsView, ProgramView
from localllm.cli.main import cli
from localllm.cli.render_partings import render_partings
from localllm.errors import NotRunning
from localllm.gateway.program_partings import parting_view
from localllm.prefix.differing import Kind
from localllm.prefix.parting import Parting
from tests.unit.cli.a_scripted_daemon import ScriptedDaemon, a_scripted_daemon

DATE = Parting(
    "message 1 (system)", 1_650, Kind.DATE, "is 2026-11-29.", "is 2026-11-30.", 9_000, 412, 2_250
)


def a_break(parting: Parting = DATE, times: int = 2) -> BreakView:
    shown = parting_view(parting)
    return BreakView(times=times, last=0.0, request="req_1", model="m", again=4_500, parting=shown)


def a_program(name: str = "claude-cli", *places: BreakView, **changes: int) -> ProgramView:
    facts = {"requests": 14, "prompt_tokens": 201_345, "cached_tokens": 185_000}
    facts |= {"breaks": sum(place.times for place in places), "headers_removed": 0}
    return ProgramView(program=name, places=list(places), **{**facts, **changes})


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedDaemon]:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))
    with a_scripted_daemon(tmp_path / "state", {}) as scripted:
        yield scripted


def sees(daemon: ScriptedDaemon, *programs: ProgramView) -> None:
    daemon.will("GET prefix/partings", PartingsView(programs=list(programs)))


def doctor(*words: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *words])


def test_it_tells_where_a_prefix_broke_what_it_cost_and_how_to_mend_it(
    daemon: ScriptedDaemon,
) -> None:
    sees(daemon, a_program("claude-cli", a_break()), a_program("opencode"))

    assert doctor("--agent").output.splitlines() == [
        "claude-cli: 14 requests, 92% of 201,345 prompt tokens were cached, its prefix broke 2 times",
        '  2 times: the prefix differs at token 412 (about): a date in message 1 (system), before "is',
        '      2026-11-29.", now "is 2026-11-30."',
        "    read again because of it: about 4,500 tokens",
        "    fix: find whose template, rule or plugin writes a date there, and have it say it in the newest",
        "      message, or not at all",
        "",
        "opencode: 14 requests, 92% of 201,345 prompt tokens were cached",
        "  nothing broke its prefix",
    ]


def test_what_broke_one_time_broke_once(daemon: ScriptedDaemon) -> None:
    sees(daemon, a_program("claude-cli", a_break(times=1)))

    said = doctor("--agent").output

    assert "its prefix broke once\n" in said
    assert "  once: the prefix differs" in said


def test_a_name_that_is_no_agents_and_was_not_seen_is_an_error(daemon: ScriptedDaemon) -> None:
    sees(daemon, a_program("opencode"))

    ran = doctor("--agent", "claud-code")

    assert isinstance(ran.exception, NoSuchAgent)
    assert "claude-code" in str(ran.exception)


@pytest.mark.parametrize("name", ["claude-code", "claude", "cc", "Claude-CLI"])
def test_an_agent_is_found_by_each_of_its_names(daemon: ScriptedDaemon, name: str) -> None:
    sees(daemon, a_program("opencode"), a_program("claude-cli"))

    ran = doctor("--agent", name, "--json")

    assert [one["program"] for one in json.loads(ran.stdout)["programs"]] == ["claude-cli"]


@pytest.mark.parametrize("program", ["codex", "codex_cli_rs", "codex_exec", "Codex-Desktop"])
def test_an_agent_may_have_several_programs(daemon: ScriptedDaemon, program: str) -> None:
    sees(daemon, a_program("codexer"), a_program(program))

    ran = doctor("--agent", "codex", "--json")

    assert [one["program"] for one in json.loads(ran.stdout)["programs"]] == [program]


def test_a_program_that_is_no_known_agent_is_found_by_its_own_name(daemon: ScriptedDaemon) -> None:
    sees(daemon, a_program("my-script"), a_program("claude-cli"))

    assert doctor("--agent", "my-script").output.startswith("my-script: ")


def test_all_programs_are_one_document(daemon: ScriptedDaemon) -> None:
    sees(daemon, a_program("claude-cli", a_break()), a_program("opencode"))

    programs = json.loads(doctor("--agent", "--json").stdout)["programs"]

    assert [one["program"] for one in programs] == ["claude-cli", "opencode"]
    assert programs[0]["places"][0]["parting"]["token"] == 412


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--agent"],
            "no agent has sent a long prompt since the daemon runs: let it take two turns",
        ),
        (
            ["--agent", "codex"],
            "codex has sent no long prompt since the daemon runs: let it take two",
        ),
    ],
)
def test_where_nothing_was_seen_it_says_what_to_do_first(
    daemon: ScriptedDaemon, words: list[str], said: str
) -> None:
    sees(daemon)

    ran = doctor(*words)

    assert ran.exit_code == 0
    assert ran.output.startswith(said)


def test_it_names_those_that_were_seen_instead(daemon: ScriptedDaemon) -> None:
    sees(daemon, a_program("opencode"))

    assert "seen were: opencode" in doctor("--agent", "codex").output


def test_one_request_alone_can_be_compared_with_nothing() -> None:
    view = PartingsView(programs=[a_program(requests=1, prompt_tokens=0, headers_removed=1)])

    assert render_partings(view, None, ["claude-cli"]) == [
        "claude-cli: 1 request",
        "  taken out of 1 prompt: Claude Code's billing header, which changes with every session",
        "  let it take two turns first, then ask again",
    ]


def test_words_of_others_do_nothing_to_a_terminal() -> None:
    evil = replace(DATE, now="\x1b[31m\u202e")
    view = PartingsView(programs=[a_program("x\x1b[2J", a_break(evil))])

    lines = render_partings(view, "\x1b[31m", [])

    assert all(line.isprintable() for line in lines)


def test_without_a_daemon_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALLLM_HOME", str(tmp_path))

    assert isinstance(doctor("--agent").exception, NotRunning)
