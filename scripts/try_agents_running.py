"""Starts an agent without a person, in a home of its own, and waits until it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from try_agents_programs import Agent, OwnSettings, programs_of

from localllm.api.daemon_file import DaemonFile, write_daemon_file

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody is: what an agent wants of the world outside fails at once."""

DIRECT = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")


@dataclass(frozen=True, slots=True)
class Place:
    """Where agents are run."""

    environment: Mapping[str, str]
    """That localllm's commands take."""

    daemon: DaemonFile
    scratch: Path
    limit_s: float
    """For one turn."""

    is_scripted: bool
    ends_soon: bool = False
    """Whether the model is so small that it has to be stopped."""

    records: Path | None = None
    """Where to leave what agents sent, for the tests of the translation."""

    bodies: Path | None = None
    """Where to leave all that was sent and answered, as it was."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How an agent's run ended."""

    code: int | None
    """None for one that had to be ended."""

    out: str
    err: str
    took_s: float


def run(agent: Agent, place: Place, prompt: str, folder: Path, port: int) -> Ran:
    """Start an agent in a home of its own, and wait until it ends."""
    environment = surroundings(agent, place, folder, port)
    command = command_of(agent, place, prompt)
    if agent.own is not None:
        environment |= laid_out(agent.own, folder / "home", port)
    began = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=folder / "work",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        code: int | None = None
        try:
            out, err = process.communicate(timeout=place.limit_s)
            code = process.returncode
        except subprocess.TimeoutExpired:
            end_group(process)
            out, err = process.communicate()
        finally:
            end_group(process)
    return Ran(code, out, err, time.monotonic() - began)


def surroundings(agent: Agent, place: Place, folder: Path, port: int) -> dict[str, str]:
    """Give it a home without a trace of this machine, where the daemon is said to be at `port`."""
    home, localllm, temporary = (folder / name for name in ("home", "localllm", "tmp"))
    home.mkdir()
    temporary.mkdir()  # some leave megabytes behind
    (localllm / "state").mkdir(parents=True)
    seen = msgspec.structs.replace(place.daemon, port=port)
    write_daemon_file(localllm / "state" / "daemon.json", seen)
    return {
        "PATH": f"{programs_of(agent, place.scratch)}:{place.environment['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LOCALLLM_HOME": str(localllm),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
    }


def end_group(process: subprocess.Popen[str]) -> None:
    """End an agent with all that it has started; where nothing is left, nothing happens."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def command_of(agent: Agent, place: Place, prompt: str) -> list[str]:
    if agent.own is None:
        launch = [sys.executable, "-m", "localllm", "launch", agent.launched, "--"]
        return [*launch, *agent.asked(prompt)]
    return [str(programs_of(agent, place.scratch) / agent.program), *agent.asked(prompt)]


def laid_out(own: OwnSettings, home: Path, port: int) -> dict[str, str]:
    """Write an agent's files; return the rest of its environment."""
    base = f"http://127.0.0.1:{port}"

    def filled(text: str) -> str:
        return text.replace("{base}", base).replace("{v1}", f"{base}/v1")

    for path, text in own.files.items():
        file = home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(filled(text))
    return {**{name: filled(value) for name, value in own.environment.items()}, **DIRECT}
