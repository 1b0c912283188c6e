"""What is started, with which words and variables, and which folder it reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.agents.connection import Connection
from localllm.agents.errors import NotConnectable, Unreadable
from localllm.agents.launching import lay_out, plan_launch, with_key
from localllm.agents.places import Whereabouts
from localllm.agents.profile import find_agent, read_agents
from localllm.agents.settings import Settings, render_settings
from localllm.paths import bundled_profiles

AGENTS = read_agents(bundled_profiles())
SERVED = Connection("http://127.0.0.1:11711", "m", 65536, 2)
LAUNCHED = [a.id for a in AGENTS if a.why_not is None and a.launch.why_not is None]
FOLDER = Path("/state/launched")


def told(name: str, home: Path = Path("/home/u"), served: Connection = SERVED) -> Settings:
    return render_settings(find_agent(AGENTS, name), served, Whereabouts(home, {}))


@pytest.mark.parametrize("name", LAUNCHED)
def test_every_agent_that_can_be_launched_is_told_where_to_ask(name: str, tmp_path: Path) -> None:
    settings = told(name, tmp_path)

    launched = plan_launch(settings, [], tmp_path / "own")
    lay_out(settings, tmp_path / "own")

    said = [*launched.arguments, *launched.environment.values()]
    said += [file.read_text() for file in (tmp_path / "own").glob("*")]
    assert any("http://127.0.0.1:11711" in text for text in said)
    assert not any("{" + word + "}" in text for text in said for word in ("folder", "fresh", "v1"))


def test_codex_gets_its_settings_as_flags() -> None:
    launched = plan_launch(told("codex"), ["exec", "say hi"], FOLDER)

    assert launched.program == "codex"
    assert launched.arguments[:4] == ("-c", 'model="m"', "-c", 'model_provider="localllm"')
    assert 'model_providers.localllm.base_url="http://127.0.0.1:11711/v1"' in launched.arguments
    assert launched.arguments[-2:] == ("exec", "say hi")


def test_opencode_gets_its_settings_in_a_variable() -> None:
    launched = plan_launch(told("opencode"), [], FOLDER)

    said = json.loads(launched.environment["OPENCODE_CONFIG_CONTENT"])
    assert said["provider"]["localllm"]["models"]["m"]["limit"]["context"] == 65536


def test_claude_code_reads_a_file_with_nothing_else_in_it(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text('{"mine": 1}')
    settings = told("claude-code", tmp_path)

    lay_out(settings, tmp_path / "own")

    said = json.loads((tmp_path / "own" / "settings.json").read_text())
    assert list(said) == ["env"]
    assert said["env"]["ANTHROPIC_MODEL"] == "m"


def test_an_overlay_has_the_users_settings_with_ours_and_links_to_the_rest(tmp_path: Path) -> None:
    root = tmp_path / ".pi" / "agent"
    root.mkdir(parents=True)
    (root / "models.json").write_text('{"providers": {"mine": {}}}')
    (root / "auth.json").write_text("secret")
    (root / "sessions").mkdir()
    settings, own = told("pi", tmp_path), tmp_path / "own"

    lay_out(settings, own)
    (root / "auth.json").unlink()
    (root / "new.json").write_text("")
    lay_out(settings, own)

    assert set(json.loads((own / "models.json").read_text())["providers"]) == {"mine", "localllm"}
    links = {file.name: file.resolve() for file in own.iterdir() if file.is_symlink()}
    assert links == {"sessions": root / "sessions", "new.json": root / "new.json"}
    assert (root / "models.json").read_text() == '{"providers": {"mine": {}}}'


def test_an_overlay_of_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".hermes").mkdir()
    (tmp_path / ".hermes" / "config.yaml").write_text("a: [")

    with pytest.raises(Unreadable, match=r"config\.yaml"):
        lay_out(told("hermes", tmp_path), tmp_path / "own")


@pytest.mark.parametrize("name", ["zed", "vscode", "openclaw", "jetbrains"])
def test_what_reads_its_own_file_only_is_not_launched_and_says_so(name: str) -> None:
    with pytest.raises(NotConnectable) as refused:
        plan_launch(told(name), [], FOLDER)

    assert refused.value.exit_code == 2


def test_an_agents_own_default_is_for_those_who_say_nothing() -> None:
    assert plan_launch(told("llm"), [], FOLDER).arguments == ("chat",)
    assert plan_launch(told("llm"), ["hi"], FOLDER).arguments == ("hi",)


@pytest.mark.parametrize(
    ("environment", "key"), [({}, "local"), ({"LOCALLLM_API_KEY": "sk-1"}, "sk-1")]
)
def test_the_users_key_goes_where_it_is_asked_for(environment: dict[str, str], key: str) -> None:
    settings = told("claude-code", served=replace(SERVED, needs_key=True))

    launched = with_key(plan_launch(settings, [], FOLDER), environment)

    assert launched.environment["ANTHROPIC_AUTH_TOKEN"] == key
    assert key not in " ".join(launched.arguments)
