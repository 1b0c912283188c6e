"""A user of the command line with a home, a shared cache and a hub of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fakes.ctrl_c import heed_ctrl_c

ROOT = Path(__file__).parents[3]
NOWHERE = "http://127.0.0.1:9"
_OTHERS = ("LOCALLLM_", "HF_", "XDG_", "TRANSFORMERS_", "CUDA_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
Ran = subprocess.CompletedProcess[str]


class HubUser:
    def __init__(self, folder: Path, hub: str = NOWHERE) -> None:
        self.home, self.installation = folder / "home", folder / "ours"
        self.home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OTHERS)}
        kept = {k: v for k, v in kept.items() if k.upper() not in _PROXIES}
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "LOCALLLM_HOME": str(self.installation),
            "LOCALLLM_ALLOW_CPU": "1",  # a machine with a card would want an engine, too
            "LOCALLLM_ENGINE_MIRROR": NOWHERE,
            "HF_ENDPOINT": hub,
        }

    @property
    def state(self) -> Path:
        return self.installation / "state"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "huggingface" / "hub"

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "localllm", *words]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env=self.environment,
            text=True,
            preexec_fn=heed_ctrl_c,  # noqa: PLW1509  # it takes no lock
            **{**pipes, **options},
        )

    def run(self, *words: str) -> Ran:
        with self.start(*words) as process:
            try:
                out, err = process.communicate()
            except BaseException:  # the test's time is up, and it may have become a daemon
                process.terminate()
                raise
        return Ran(words, process.returncode, out, err)

    def ok(self, *words: str) -> Ran:
        ran = self.run(*words)
        assert ran.returncode == 0, ran
        return ran

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "--json").stdout)

    def on_a_terminal(self, *words: str, types: str = "") -> tuple[int, str]:
        """Run a command where somebody watches, and answers in advance."""
        ours, theirs = os.openpty()
        shown = b""
        with self.start(*words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, types.encode())
            with suppress(OSError):  # Linux's word for the end of a terminal
                while read := os.read(ours, 65_536):
                    shown += read
        os.close(ours)
        return process.returncode, shown.decode()
