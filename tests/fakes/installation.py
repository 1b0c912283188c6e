"""One installation of localllm in a folder of its own, driven as a user would: by its command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.ctrl_c import heed_ctrl_c

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(happened: Callable[[], Any], what: str, *, within_s: float = DEADLINE_S) -> Any:
    """Look every 20 ms until `happened()` is truthy, and return it."""
    deadline = time.monotonic() + within_s
    while not (value := happened()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)
    return value


class Installation:
    """Its home is short, so that engines listen on Unix sockets; nothing outside it is touched."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.command = [sys.executable, "-m", "localllm"]
        self.port = free_port()
        path = [p for p in os.environ["PATH"].split(":") if not list(Path(p).glob("llama-server*"))]
        self.environment: dict[str, str] = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("LOCALLLM_", "CUDA_"))},
            "PATH": ":".join(path),
            "PYTHONPATH": str(ROOT),
            "LOCALLLM_HOME": str(home),
            "LOCALLLM_PORT": str(self.port),
            "HF_ENDPOINT": "http://127.0.0.1:9",  # no hub, unless a test has one
            **environment,
        }

    @property
    def state(self) -> Path:
        return self.home / "state"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, text: str) -> None:
        (self.home / "config").mkdir(parents=True, exist_ok=True)
        (self.home / "config" / "config.toml").write_text(text)

    def start(
        self, *words: str, on_terminal: int | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a command; on a terminal, if one is given, else with pipes."""
        return subprocess.Popen(
            [*self.command, *words],
            env=self.environment,
            stdout=subprocess.PIPE if on_terminal is None else on_terminal,
            stderr=subprocess.PIPE if on_terminal is None else on_terminal,
            text=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509  # it takes no lock
            **options,
        )

    def run(self, *words: str, stdin: str = "", within_s: float = DEADLINE_S) -> Ran:
        """Run a command to its end."""
        with self.start(*words, stdin=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(stdin, timeout=within_s)
            finally:
                process.kill()  # no effect on one that has ended
        return Ran(process.returncode, out, err)

    def ok(self, *words: str, stdin: str = "", within_s: float = DEADLINE_S) -> str:
        """Run a command that must succeed, and return its result."""
        ran = self.run(*words, stdin=stdin, within_s=within_s)
        assert ran.code == 0, ran
        return ran.out

    def json(self, *words: str, within_s: float = DEADLINE_S) -> Any:
        return json.loads(self.ok(*words, "--json", within_s=within_s))

    def model(self) -> dict[str, Any]:
        """The first model of `status`."""
        models: list[dict[str, Any]] = self.json("status")["models"]
        return models[0]

    def daemon_file(self) -> dict[str, Any]:
        return dict(json.loads((self.state / "daemon.json").read_text()))

    def processes(self) -> list[psutil.Process]:
        """Every process that carries this home in its environment."""
        return [p for p in psutil.process_iter() if _home(p) == str(self.home)]

    def close(self) -> None:
        """End all that is left of it."""
        for process in self.processes():
            process.kill()
        psutil.wait_procs(self.processes(), timeout=5)


class Ran:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


def _home(process: psutil.Process) -> str | None:
    try:
        environment: Mapping[str, str] = process.environ()
        return environment.get("LOCALLLM_HOME")
    except (psutil.Error, OSError):
        return None
