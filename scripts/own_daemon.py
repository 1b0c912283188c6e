"""A daemon of a script's own, in a folder of its own, on a free port; it is ended with the block."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
FAKE = ROOT / "tests" / "fakes" / "fake_engine.py"
MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go: a Unix socket, or a port on loopback."""

    socket: Path | None = None
    port: int = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(str(self.socket), limit=1 << 20)
        return await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)


@dataclass(frozen=True, slots=True)
class Home:
    """One daemon of ours."""

    folder: Path
    port: int
    model: str = MODEL
    """What is served, as `up` takes it."""

    def run(self, *words: str) -> str:
        """Run a command of localllm's.

        Raises:
            RuntimeError: It failed, with what it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", "localllm", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"localllm {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("LOCALLLM_")}
        path = os.pathsep.join(p for p in (str(ROOT), kept.get("PYTHONPATH")) if p)
        return {**kept, "LOCALLLM_HOME": str(self.folder), "PYTHONPATH": path}

    @property
    def gateway(self) -> Place:
        return Place(port=self.port)

    @property
    def engine(self) -> Place:
        (path,) = (self.folder / "state" / "sockets").glob("*.sock")
        return Place(socket=path)


@contextmanager
def served(
    *words: str, config: str = "", model: str = MODEL
) -> Iterator[tuple[Home, psutil.Process]]:
    """Serve a model with a daemon of its own; yield it and its process."""
    folder = Path(tempfile.mkdtemp(prefix="llb"))
    home = Home(folder, free_port(), model)
    (folder / "config").mkdir()
    (folder / "config" / "config.toml").write_text(config)
    try:
        up = home.run("up", model, "--json", "--port", str(home.port), "--parallel", "8", *words)
        yield home, psutil.Process(json.loads(up)["daemon"]["pid"])
    finally:
        with suppress(RuntimeError):  # it did not even start
            home.run("down")
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
