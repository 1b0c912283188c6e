"""The agents that are tried: where each comes from, and how it is run without a person."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROMPT = "{prompt}"
_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """What is said in the place of `localllm launch`; {base} and {v1} stand for the endpoint."""

    environment: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """By path under its home, what they hold."""


@dataclass(frozen=True, slots=True)
class Agent:
    name: str
    """As `localllm launch` takes it, and what is different behind a colon."""

    package: str
    version: str
    """Which was tried when this was written."""

    program: str
    words: tuple[str, ...]
    """With leave to read and write files, since nobody is there to ask."""

    beside: tuple[str, ...] = ()
    """Other packages that it needs here."""

    path: str = "/v1/chat/completions"
    """That it asks."""

    own: OwnSettings | None = None

    @property
    def launched(self) -> str:
        return self.name.partition(":")[0]

    def asked(self, prompt: str) -> list[str]:
        return [prompt if word == _PROMPT else word for word in self.words]


AGENTS = (
    Agent(
        "claude-code",
        "@anthropic-ai/claude-code",
        "2.1.330",
        "claude",
        ("-p", _PROMPT, "--permission-mode", "acceptEdits", "--allowedTools", "Read,Write"),
        path="/v1/messages",
    ),
    Agent(
        "codex",
        "@openai/codex",
        "0.169.0",
        "codex",
        ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", _PROMPT),
        path="/v1/responses",
    ),
    Agent("opencode", "opencode-ai", "1.18.33", "opencode", ("run", _PROMPT)),
    Agent("qwen-code", "@qwen-code/qwen-code", "0.24.4", "qwen", ("-p", _PROMPT, "--yolo")),
    Agent(
        "copilot",
        "@github/copilot",
        "1.0.102",
        "copilot",
        ("-p", _PROMPT, "--allow-all-tools", "--allow-all-paths", "--no-color"),
    ),
    Agent(
        "pi",
        "@earendil-works/pi-coding-agent",
        "1.6.0",
        "pi",
        ("-p", _PROMPT),
        beside=("node@22.23.3",),  # it does not start on Node.js before 22.19
    ),
)


class NotInstalled(Exception):
    """npm is missing, or did not bring an agent; the text says which, and why."""


def install(agent: Agent, scratch: Path, *, newest: bool) -> None:
    """Have npm bring it, unless it is there.

    Raises:
        NotInstalled: npm is missing, or says no.
    """
    folder = scratch / agent.program
    if newest or version_of(agent, scratch) != agent.version:
        _bring(agent, folder, "latest" if newest else agent.version)
    if not (programs_of(agent, scratch) / agent.program).exists():
        raise NotInstalled(f"{agent.package} brought no program called {agent.program}")


def programs_of(agent: Agent, scratch: Path) -> Path:
    return scratch / agent.program / "node_modules" / ".bin"


def version_of(agent: Agent, scratch: Path) -> str | None:
    """Read which one is there; None if none is."""
    package = scratch / agent.program / "node_modules" / agent.package / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else None


def _bring(agent: Agent, folder: Path, version: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("npm is missing: it brings the agents; install Node.js with it")
    folder.mkdir(parents=True, exist_ok=True)
    packages = (f"{agent.package}@{version}", *agent.beside)
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
    try:
        subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=_LIMIT_S
        )
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"npm did not bring {packages}: {error.stderr[-2000:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"npm had not brought {packages} after {_LIMIT_S:.0f} s") from error
