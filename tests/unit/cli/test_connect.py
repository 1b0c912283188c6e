"""`localllm connect` and `localllm launch` as a shell sees them, beside a daemon that is scripted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agents.an_endpoint import Endpoint, an_endpoint, events, instance

ROOT = Path(__file__).parents[3]
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
Ran = subprocess.CompletedProcess[str]

CHAT = events({"choices": [{"delta": {"content": "hi"}}]}, "[DONE]")
MESSAGES = events({"type": "message_start"}, {"type": "message_stop"})
RESPONSES = events({"type": "response.created"}, {"type": "response.completed"})


class Shell:
    """A user's shell: a home folder, an installation, a PATH with nothing on it but ours."""

    def __init__(self, folder: Path) -> None:
        self.home, self.installation, self.bin = folder / "home", folder / "ours", folder / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        self.variables: dict[str, str] = {}

    @property
    def state(self) -> Path:
        return self.installation / "state"

    def run(self, *words: str) -> Ran:
        return self.python("-m", "localllm", *words)

    def python(self, *words: str) -> Ran:
        gone = ("LOCALLLM_", "ANTHROPIC_", "OPENAI_", "CLAUDE", "CODEX", "XDG_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(gone)}
        kept = {k: v for k, v in kept.items() if k.upper() not in PROXIES}
        environment = {
            **kept,
            "HOME": str(self.home),
            "LOCALLLM_HOME": str(self.installation),
            "PATH": str(self.bin),
            "PYTHONPATH": str(ROOT),
            **self.variables,
        }
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=self.home, env=environment, capture_output=True, text=True, check=False
        )

    def ok(self, *words: str) -> str:
        ran = self.run(*words)
        assert ran.returncode == 0, ran
        return ran.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json"))

    def has_program(self, name: str) -> Path:
        """Put a program on PATH that tells its words and variables."""
        program = self.bin / name
        program.write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            "print(json.dumps({'words': sys.argv[1:], 'variables': dict(os.environ)}))\n"
        )
        program.chmod(0o755)
        return program


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def endpoint(shell: Shell) -> Iterator[Endpoint]:
    with an_endpoint(shell.state) as served:
        yield served


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(f): f.read_bytes() if f.is_file() else None for f in folder.rglob("*")}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["connect", "codex"], 4, "No daemon is running."),
        (["connect", "codex", "--write"], 4, "No daemon is running."),
        (["connect", "codex", "--check"], 4, "No daemon is running."),
        (["launch", "codex"], 4, "No daemon is running."),
        (["connect", "codx"], 5, "did you mean codex?"),
        (["connect", "cursor"], 2, "Cursor cannot be connected."),
        (["connect", "--write"], 2, "--write needs an AGENT"),
    ],
)
def test_what_cannot_be_done_without_a_daemon_says_so_in_its_exit_code(
    shell: Shell, words: list[str], code: int, said: str
) -> None:
    ran = shell.run(*words)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr
    assert everything(shell.home) == {}


@pytest.mark.parametrize("module", ["localllm.cli.connect", "localllm.cli.agent_settings"])
def test_what_edits_files_is_loaded_only_when_a_file_is_edited(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"

    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())

    assert not loaded & {"tomlkit", "ruamel", "ruamel.yaml", "aiohttp"}


@pytest.mark.parametrize("verb", ["connect", "launch"])
def test_a_shell_completes_the_name_of_an_agent(shell: Shell, verb: str) -> None:
    shell.variables |= {
        "_LOCALLLM_COMPLETE": "zsh_complete",
        "COMP_WORDS": f"localllm {verb} co",
        "COMP_CWORD": "2",
    }
    code = "import sys; sys.argv[0] = 'localllm'; from localllm.cli.main import cli; cli(prog_name='localllm')"

    completed = shell.python("-c", code)

    assert [line for line in completed.stdout.split() if line.startswith("co")] == [
        "codex",
        "continue",
        "copilot",
    ]


def test_agents_are_listed_without_a_daemon(shell: Shell) -> None:
    shell.has_program("codex")
    (shell.home / ".config" / "zed").mkdir(parents=True)

    listed = {a["id"]: a for a in shell.json("connect")["agents"]}

    assert (listed["codex"]["installed"], listed["codex"]["program"]) == (
        True,
        str(shell.bin / "codex"),
    )
    assert (listed["zed"]["installed"], listed["zed"]["program"]) == (True, None)
    assert not listed["aider"]["installed"]  # though there is a home folder
    assert {a for a, each in listed.items() if each["connected"]} == set()
    assert "codex        Codex CLI" in shell.ok("connect")


def test_settings_are_shown_and_nothing_is_written(shell: Shell, endpoint: Endpoint) -> None:
    shown = shell.json("connect", "codex")

    assert (shown["model"], shown["context"]) == ("m", 65536)
    assert f'base_url = "http://127.0.0.1:{endpoint.port}/v1"' in shown["files"][0]["content"]
    assert everything(shell.home) == {}


def test_a_shell_can_read_what_is_shown(shell: Shell, endpoint: Endpoint) -> None:
    shown = shell.ok("connect", "env")

    asked = f'{shown}\nprintf \'%s %s\' "$OPENAI_BASE_URL" "$ANTHROPIC_BASE_URL"'
    said = subprocess.check_output(["sh", "-ec", asked], text=True)
    assert said == f"http://127.0.0.1:{endpoint.port}/v1 http://127.0.0.1:{endpoint.port}"


def test_write_check_and_undo_go_round(shell: Shell, endpoint: Endpoint) -> None:
    file = shell.home / ".codex" / "config.toml"
    file.parent.mkdir()
    file.write_text('model = "gpt"  # mine\n')
    endpoint.answer = RESPONSES

    written = shell.json("connect", "codex", "--write")
    again = shell.json("connect", "codex", "--write")
    listed = {a["id"]: a["connected"] for a in shell.json("connect")["agents"]}
    checked = shell.json("connect", "codex", "--check")
    shell.ok("connect", "codex", "--undo")

    assert [f["changed"] for f in (*written["files"], *again["files"])] == [True, False]
    assert listed["codex"] == "m"
    assert (checked["complete"], checked["end"]) == (True, "response.completed")
    assert everything(shell.home) == {str(file.parent): None, str(file): b'model = "gpt"  # mine\n'}
    assert shell.ok("connect", "codex", "--undo").startswith("nothing to undo")


@pytest.mark.parametrize(
    ("agent", "answer", "path", "fields"),
    [
        ("claude-code", MESSAGES, "/v1/messages?beta=true", {"thinking", "context_management"}),
        ("codex", RESPONSES, "/v1/responses", {"include", "reasoning", "client_metadata"}),
        ("opencode", CHAT, "/v1/chat/completions", {"stream_options"}),
        ("pi", CHAT, "/v1/chat/completions", {"store", "max_completion_tokens"}),
        ("open-webui", b"", "/v1/models", set()),
    ],
)
def test_check_sends_what_the_agent_sends_first(
    shell: Shell, endpoint: Endpoint, agent: str, answer: bytes, path: str, fields: set[str]
) -> None:
    endpoint.answer = answer

    checked = shell.json("connect", agent, "--check")

    asked, headers, body = endpoint.asked[-1]
    assert (checked["complete"], checked["status"], asked) == (True, 200, path)
    assert headers["Authorization"] == "Bearer local"
    if body is not None:
        assert body["model"] == "m"
        assert body["stream"]
        assert fields <= body.keys()


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ({"status": 404, "answer": b'{"error": {"message": "no such"}}'}, 404, "no such"),
        ({"status": 500, "answer": b"<html>"}, 500, "the answer is no JSON: <html>"),
        ({"answer": events({"choices": []})}, 200, "the stream ended before its end"),
        ({"answer": events({"error": {"message": "full"}})}, 200, "full"),
        ({"answer": CHAT, "kind": "application/json"}, 200, "no stream of events"),
    ],
)
def test_a_check_that_fails_says_what_came_and_exits_with_1(
    shell: Shell, endpoint: Endpoint, how: dict[str, Any], status: int, error: str
) -> None:
    for name, value in how.items():
        setattr(endpoint, name, value)

    ran = shell.run("connect", "opencode", "--check", "--json")

    checked = json.loads(ran.stdout)
    assert (ran.returncode, checked["complete"], checked["status"]) == (1, False, status)
    assert error in checked["error"]


def test_where_a_key_is_wanted_its_variable_is_named_and_used(
    shell: Shell, endpoint: Endpoint
) -> None:
    endpoint.key, endpoint.answer = "sk-1", RESPONSES
    without = shell.run("connect", "codex", "--json")
    refused = shell.run("connect", "codex", "--check")
    shell.variables["LOCALLLM_API_KEY"] = "sk-1"

    assert 'env_key = "LOCALLLM_API_KEY"' in json.loads(without.stdout)["files"][0]["content"]
    assert "localllm key create" in without.stderr
    assert refused.returncode == 1
    assert shell.json("connect", "codex", "--check")["complete"]
    assert "sk-1" not in shell.ok("connect", "codex")


def test_what_a_model_can_do_is_known_without_the_users_key(
    shell: Shell, endpoint: Endpoint
) -> None:
    endpoint.key, endpoint.abilities = "sk-1", ["tools", "vision"]

    found = shell.json("connect", "opencode")

    assert '"attachment": true' in found["files"][0]["content"]
    assert found["needs_key"]


def test_the_current_model_is_connected_or_the_one_that_is_named(
    shell: Shell, endpoint: Endpoint
) -> None:
    small, large = instance("b", context=8192), instance("b", context=262144, lane="long")
    endpoint.models = [instance("a"), {**small, "current": True}, large]
    endpoint.abilities = ["tools", "reasoning", "vision"]

    current = shell.json("connect", "opencode")
    named = shell.json("connect", "opencode", "--model", "a")
    alias = shell.json("connect", "opencode", "--model", "my-a")
    unknown = shell.run("connect", "opencode", "--model", "c")

    assert (current["model"], current["context"]) == ("b", 262144)
    assert '"attachment": true' in current["files"][0]["content"]
    assert (named["model"], alias["model"], unknown.returncode) == ("a", "a", 5)


def test_a_daemon_that_serves_nothing_is_told_apart_from_none(
    shell: Shell, endpoint: Endpoint
) -> None:
    endpoint.models = [instance(wanted=False, state="stopped")]

    ran = shell.run("connect", "codex")

    assert ran.returncode == 5
    assert "No model is served." in ran.stderr


def test_a_context_that_is_too_small_is_said_loudly(shell: Shell, endpoint: Endpoint) -> None:
    endpoint.models = [instance(context=8192)]

    ran = shell.run("connect", "claude-code", "--write")

    assert ran.returncode == 0
    assert "TOO SMALL FOR AN AGENT: m is served with 8,192 tokens" in ran.stderr


def test_launch_starts_the_program_with_its_settings_and_writes_nothing_of_the_users(
    shell: Shell, endpoint: Endpoint
) -> None:
    shell.has_program("claude")
    shell.variables |= {"https_proxy": "http://proxy", "MINE": "1"}

    started = json.loads(shell.ok("launch", "claude-code", "--", "-p", "say hi"))

    assert started["words"][-2:] == ["-p", "say hi"]
    variables = started["variables"]
    assert variables["ANTHROPIC_BASE_URL"] == f"http://127.0.0.1:{endpoint.port}"
    assert (variables["NO_PROXY"], variables["MINE"]) == ("127.0.0.1,localhost", "1")
    assert everything(shell.home) == {}


def test_launch_gives_an_agents_own_options_to_the_agent(shell: Shell, endpoint: Endpoint) -> None:
    shell.has_program("codex")

    assert json.loads(shell.ok("launch", "codex", "--json", "-p"))["words"][-2:] == ["--json", "-p"]
    assert shell.json("launch", "--json", "codex")["command"][0] == str(shell.bin / "codex")


def test_launch_env_starts_any_program(shell: Shell, endpoint: Endpoint) -> None:
    shell.has_program("mine")

    started = json.loads(shell.ok("launch", "env", "--", "mine", "a", "-b"))

    assert started["words"] == ["a", "-b"]
    assert started["variables"]["OPENAI_BASE_URL"].endswith("/v1")
    assert shell.run("launch", "env").returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["launch", "codex"], 5, "npm install -g @openai/codex"),
        (["launch", "zed"], 2, "localllm connect zed"),
        (["connect", "copilot", "--write"], 2, "localllm launch copilot"),
        (["connect", "jetbrains", "--write"], 2, "localllm connect jetbrains"),
    ],
)
def test_what_an_agent_does_not_offer_is_refused_with_what_to_do_instead(
    shell: Shell, endpoint: Endpoint, words: list[str], code: int, said: str
) -> None:
    ran = shell.run(*words)

    assert (ran.returncode, ran.stdout) == (code, "")
    assert said in ran.stderr


def test_a_file_that_cannot_be_read_is_left_and_its_place_is_named(
    shell: Shell, endpoint: Endpoint
) -> None:
    file = shell.home / ".claude" / "settings.json"
    file.parent.mkdir()
    file.write_text('{\n  "a": 1\n  "b": 2\n}')

    ran = shell.run("connect", "claude-code", "--write")

    assert (ran.returncode, file.read_text()) == (1, '{\n  "a": 1\n  "b": 2\n}')
    assert f"{file} cannot be read at line 3, column 3" in ran.stderr
