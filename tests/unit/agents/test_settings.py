"""Every profile that is shipped, filled in with what is served."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from localllm.agents.connection import Connection, warnings_of
from localllm.agents.edits import find
from localllm.agents.errors import NoSuchAgent, NotConnectable
from localllm.agents.first_request import read_first_request
from localllm.agents.languages import editor_for
from localllm.agents.places import Whereabouts
from localllm.agents.profile import AgentProfile, find_agent, read_agents
from localllm.agents.proxies import without_proxy
from localllm.agents.settings import Settings, fill, render_settings
from localllm.errors import ConfigError
from localllm.paths import bundled_profiles

AGENTS = read_agents(bundled_profiles())
SERVED = Connection("http://127.0.0.1:11711", "qwen3.6-27b", 65536, 2)
HERE = Whereabouts(Path("/home/u"), {})
CONNECTABLE = [agent for agent in AGENTS if agent.why_not is None]
ISSUE = """claude-code codex opencode cline continue zed aider goose qwen-code pi crush copilot vscode
hermes openclaw open-webui llm env jetbrains cursor"""


def by_id(agent: AgentProfile) -> str:
    return agent.id


def told(name: str, connection: Connection = SERVED, **variables: str) -> Settings:
    where = Whereabouts(Path("/home/u"), variables)
    return render_settings(find_agent(AGENTS, name), connection, where)


def content(settings: Settings, at: int = 0) -> Any:
    file = settings.files[at]
    return editor_for(file.language).parse(file.fragment())


def holds(found: Any, value: Any) -> bool:
    """Whether something is there, beside more that may be in its tables."""
    if not isinstance(value, dict):
        return bool(found == value)
    return isinstance(found, dict) and all(holds(found.get(k), v) for k, v in value.items())


def test_all_agents_that_were_promised_are_here() -> None:
    assert {agent.id for agent in AGENTS} == set(ISSUE.split())


def test_no_name_stands_for_two_agents() -> None:
    names = [name for agent in AGENTS for name in (agent.id, *agent.aliases)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("agent", CONNECTABLE, ids=by_id)
@pytest.mark.parametrize("needs_key", [False, True])
def test_every_agent_is_told_model_and_address_and_where_it_has_a_place_for_it_the_context(
    agent: AgentProfile, needs_key: bool
) -> None:
    settings = render_settings(agent, replace(SERVED, needs_key=needs_key), HERE)

    said = "\n".join(
        [*settings.environment.values(), *(f.fragment() for f in settings.files), *settings.steps]
    )
    assert "http://127.0.0.1:11711" in said
    assert "qwen3.6-27b" in said or agent.id == "open-webui"  # which lists what is served
    assert re.search(r"65536|49152", said) or agent.id in {"env", "llm", "open-webui", "jetbrains"}
    assert "None" not in said
    assert not re.search(r"\{[a-z_]+\}", said)


@pytest.mark.parametrize("agent", CONNECTABLE, ids=by_id)
def test_a_key_is_asked_for_by_the_name_of_its_variable_and_the_dummy_is_gone(
    agent: AgentProfile,
) -> None:
    settings = render_settings(agent, replace(SERVED, needs_key=True), HERE)

    said = [*settings.environment.values(), *(file.fragment() for file in settings.files)]
    assert '"local"' not in "\n".join(map(json.dumps, said))
    assert not any(re.search(r"\blocal\b(?!host)", text) for text in said)
    assert "localllm key create" in settings.warnings[0]


@pytest.mark.parametrize("agent", CONNECTABLE, ids=by_id)
def test_the_name_of_a_model_cannot_break_out_of_its_place(agent: AgentProfile) -> None:
    hostile = "m\"$(touch /tmp/x)`]'[profiles]\n# {key}"

    settings = render_settings(agent, replace(SERVED, model=hostile), HERE)

    for file in settings.files:
        fragment = file.fragment()
        if file.language == "shell":
            assert "'localllm/m\"$(touch /tmp/x)`]'\"'\"'[profiles]\n# {key}'" in fragment
            continue
        tree = editor_for(file.language).parse(fragment)
        assert all(holds(find(tree, edit.path), edit.value) for edit in file.edits)


@pytest.mark.parametrize("agent", AGENTS, ids=by_id)
def test_every_agent_has_a_first_request_in_the_shape_of_its_api(agent: AgentProfile) -> None:
    request = read_first_request(bundled_profiles(), agent)

    apis = {"messages": "/v1/messages?beta=true", "responses": "/v1/responses"}
    expected = apis.get(agent.api, "/v1/chat/completions")
    assert request.path == ("/v1/models" if agent.request == "models" else expected)
    if request.body is not None:
        assert (request.body["stream"], len(request.body["tools"]) >= 2) == (True, True)


def test_claude_code_is_told_in_words_what_its_environment_would_say() -> None:
    settings = told("claude")

    env = content(settings)["env"]
    assert env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "65536"
    assert env["CLAUDE_CODE_ATTRIBUTION_HEADER"] == "0"
    assert env.items() <= {**settings.environment}.items()


def test_codex_gets_a_provider_of_its_own() -> None:
    told_codex = told("codex")

    file = tomllib.loads(told_codex.files[0].fragment())
    assert file == {
        "model": "qwen3.6-27b",
        "model_provider": "localllm",
        "model_context_window": 65536,
        "model_providers": {
            "localllm": {
                "name": "localllm",
                "base_url": "http://127.0.0.1:11711/v1",
                "wire_api": "responses",
                "stream_idle_timeout_ms": 900000,
            }
        },
    }


@pytest.mark.parametrize(
    ("name", "variables", "file"),
    [
        ("codex", {}, "/home/u/.codex/config.toml"),
        ("codex", {"CODEX_HOME": "/c"}, "/c/config.toml"),
        ("opencode", {"XDG_CONFIG_HOME": "/x"}, "/x/opencode/opencode.json"),
        ("opencode", {"OPENCODE_CONFIG": "/o/my.json"}, "/o/my.json"),
        ("cline", {"CLINE_DIR": "/c"}, "/c/data/settings/providers.json"),
        ("aider", {}, "/home/u/.aider.conf.yml"),
    ],
)
def test_a_file_is_where_the_agent_looks_for_it(
    name: str, variables: dict[str, str], file: str
) -> None:
    place = told(name, **variables).files[0].place

    assert str(place.candidates[0]) == file
    assert place.led_by == next(iter(variables), None)


def test_on_macos_an_agent_may_look_elsewhere() -> None:
    where = Whereabouts(Path("/Users/u"), {}, macos=True)

    settings = render_settings(find_agent(AGENTS, "vscode"), SERVED, where)

    assert settings.files[0].place.root == Path("/Users/u/Library/Application Support/Code/User")


def test_cursor_says_why_it_cannot_be_connected() -> None:
    with pytest.raises(NotConnectable) as refused:
        told("cursor")

    assert "own servers" in refused.value.why


@pytest.mark.parametrize(
    ("name", "near"), [("codx", "codex"), ("Claude-Cod", "claude-code"), ("qwen cod", "qwen-code")]
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(NoSuchAgent, match=f"did you mean {near}") as refused:
        find_agent(AGENTS, name)

    assert (refused.value.exit_code, refused.value.http_status) == (5, 404)


@pytest.mark.parametrize(
    ("served", "said"),
    [
        (SERVED, []),
        (replace(SERVED, context=32767), ["TOO SMALL FOR AN AGENT"]),
        (replace(SERVED, context=32768), ["65,536 is comfortable"]),
        (replace(SERVED, tools=False), ["nothing says that qwen3.6-27b can call tools"]),
        (replace(SERVED, context=4096, trained=8192), ["trained for 8,192, so take another one"]),
        (replace(SERVED, writes=False, context=512), ["WRITES NO TEXT"]),
        (replace(SERVED, parallel=1), ["one request at a time"]),
        (replace(SERVED, context=4096, parallel=1), ["TOO SMALL", "one request at a time"]),
    ],
)
def test_what_will_not_go_well_is_said_with_its_numbers(
    served: Connection, said: list[str]
) -> None:
    warnings = warnings_of(served)

    assert [text in warning for text, warning in zip(said, warnings, strict=True)] == [True] * len(
        said
    )


@pytest.mark.parametrize(
    ("environment", "no_proxy"),
    [
        ({}, None),
        ({"HTTP_PROXY": ""}, None),
        ({"http_proxy": "http://p"}, "127.0.0.1,localhost"),
        ({"ALL_PROXY": "p", "NO_PROXY": "a, b"}, "a,b,127.0.0.1,localhost"),
        ({"HTTPS_PROXY": "p", "no_proxy": "localhost"}, "localhost,127.0.0.1"),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "p", "NO_PROXY": "localhost,127.0.0.1"}, None),
    ],
)
def test_a_proxy_is_kept_out_of_the_way(environment: dict[str, str], no_proxy: str | None) -> None:
    said = without_proxy(environment, SERVED.base)

    assert said == ({} if no_proxy is None else {"NO_PROXY": no_proxy, "no_proxy": no_proxy})


def test_a_proxys_address_is_never_said() -> None:
    settings = told("codex", HTTPS_PROXY="http://user:secret@proxy")

    assert "secret" not in str(settings.warnings)
    assert settings.environment["NO_PROXY"] == "127.0.0.1,localhost"


WORDS = {"n": 1, "no": None, "s": "x", "list": ["a"]}


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{n}", 1),
        ("a{n}{s}", "a1x"),
        ({"k": "{no}", "l": ["{n}", "{list}"]}, {"l": [1, ["a"]]}),
        ("{env:KEY} ${VAR} {{ secrets.X }}", "{env:KEY} ${VAR} {{ secrets.X }}"),
        (7, 7),
    ],
)
def test_a_word_alone_keeps_its_type_and_null_leaves_the_setting_out(
    template: Any, filled: Any
) -> None:
    assert fill(template, WORDS) == filled


def test_a_word_that_stands_for_nothing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\{contxt\}"):
        fill("{contxt}", WORDS)


@pytest.mark.parametrize(
    ("wrong", "why"), [("format = 2", "format 2"), ("colour = 1", "colour"), ("= 1", "broken")]
)
def test_a_broken_profile_is_named(tmp_path: Path, wrong: str, why: str) -> None:
    (tmp_path / "agents").mkdir()
    good = (bundled_profiles() / "agents" / "env.toml").read_text()
    (tmp_path / "agents" / "x.toml").write_text(good.replace("format = 1", wrong, 1))

    with pytest.raises(ConfigError, match=why) as refused:
        read_agents(tmp_path)

    assert "x.toml" in refused.value.what


@pytest.mark.parametrize("agent", AGENTS, ids=by_id)
def test_the_manual_has_a_row_for_every_agent_with_the_version_that_was_seen(
    agent: AgentProfile,
) -> None:
    manual = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()

    row = next(line for line in manual.splitlines() if line.startswith(f"| `{agent.id}` |"))
    assert agent.checked in row or agent.why_not is not None
