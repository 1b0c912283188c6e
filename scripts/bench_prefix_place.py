"""A daemon with two models on a real engine, and all that can happen to it between two turns."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from localllm.api.status_views import InstanceView
from localllm.api.sync_client import DaemonClient, require_daemon
from tests.fakes import vulkan_engine
from tests.fakes.installation import Installation, wait_until
from tests.smollm2 import smollm2

ENGINES = ("xllamacpp", "llama-server", "llama-cpp-python", "mlx")
NO_TOOLS = ("llama-cpp-python", "mlx")
"""The worker of the one, and SmolLM2's template on the other, know of none."""

EMBEDDED = "smollm2-135m-instruct"
"""By this name a request has it loaded."""

PATIENCE_S = 300.0
IDLE_S = 5.0
"""How long the machine is left idle at most before something is killed."""

FULL_BYTES = 1 << 20
BROKEN = ("backoff", "failed")
BIG_BYTES = 1 << 16
"""From which on a file holds a cache, and does not tell of one."""

_NO_HOST_CACHE = """
from localllm.fit import decide
assert hasattr(decide, "_host_cache_bytes")
decide._host_cache_bytes = lambda *_: 0
"""
"""Read by each Python that is started; there is no setting for it, since the plan decides."""


@dataclass(frozen=True, slots=True)
class Place:
    """One installation and what it serves."""

    here: Installation
    model: str
    """As `up` takes it."""

    other: str
    words: tuple[str, ...]
    """Flags of `up` and `switch`."""

    config: str
    """What config.toml says, but for prompts."""

    calls_tools: bool = True

    @property
    def port(self) -> int:
        return self.here.port

    @property
    def daemon(self) -> DaemonClient:
        return require_daemon(self.here.state / "daemon.json")

    @property
    def name(self) -> str:
        """What requests call the model."""
        return Path(self.model).stem

    @property
    def instance(self) -> InstanceView:
        """The one that is ready."""
        return next(one for one in self.daemon.models() if one.state == "ready")

    def up(self) -> None:
        self.here.ok("up", self.model, *self.words, within_s=PATIENCE_S)

    def down(self) -> None:
        self.here.ok("down", within_s=PATIENCE_S)

    def restart(self, prefix: str) -> None:
        """Serve anew with nothing saved, and with these lines of `[prefix]` in config.toml."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.here.configure(f"{self.config}[prefix]\n{prefix}\n")
        self.up()

    def keep_none_in_memory(self) -> None:
        """From the next start on, engines get no memory for earlier prompts, as where none is left."""
        home = self.here.home
        (home / "sitecustomize.py").write_text(_NO_HOST_CACHE)
        self.here.environment["PYTHONPATH"] = f"{home}:{self.here.environment['PYTHONPATH']}"

    def switch(self, *, back: bool) -> None:
        model = self.model if back else self.other
        self.here.ok("switch", model, *self.words, within_s=PATIENCE_S)

    def unload(self) -> None:
        """Like the call `POST …/unload`; the next request loads it, or `wake` does."""
        self.daemon.stop(self.name)
        wait_until(lambda: not self.daemon.models(), "it is unloaded", within_s=PATIENCE_S)

    def wake(self) -> None:
        """Serve what no request can have loaded: a file or a folder by its path."""
        if self.model != EMBEDDED:
            self.up()

    def kill_engine(self) -> None:
        killed = self.instance.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)

        def is_back() -> bool:
            return any(m.state == "ready" and m.pid != killed for m in self.daemon.models())

        wait_until(is_back, "the engine is back", within_s=PATIENCE_S)

    def kill_daemon(self) -> None:
        daemon = psutil.Process(self.daemon.daemon.pid)
        daemon.kill()
        daemon.wait(10)
        self.up()

    def crashes(self) -> int:
        """How often an engine of this daemon has ended without being told to."""
        events = self.daemon.events(follow=False)
        return sum(event.topic == "state" and event.new in BROKEN for event in events)

    def start_s(self, seen: int) -> float:
        """How long engines took to start since an event; 0 where none did."""
        events = [e for e in self.daemon.events(follow=False) if e.seq > seen]
        began = [e.at for e in events if e.topic == "state" and e.new == "starting"]
        ready = [e.at for e in events if e.topic == "state" and e.new == "ready"]
        return max(0.0, ready[-1] - began[0]) if began and ready else 0.0

    def last_event(self) -> int:
        return max((event.seq for event in self.daemon.events(follow=False)), default=0)

    def fill_disk(self) -> bool:
        """Let the engine write no file larger than FULL_BYTES; False where that cannot be had."""
        limit = getattr(psutil, "RLIMIT_FSIZE", None)
        pid = self.instance.pid
        if limit is None or pid is None or self.instance.engine == "llama-server":
            return False  # a limit, unlike a full disk, kills a program that does not ignore it
        psutil.Process(pid).rlimit(limit, (FULL_BYTES, psutil.RLIM_INFINITY))
        return True

    @property
    def folder(self) -> Path:
        return self.here.state / "prefixes"

    def saved(self) -> list[Path]:
        """The files that hold a cache, oldest first."""
        if not self.folder.is_dir():
            return []
        files = [one for one in self.folder.rglob("*") if one.is_file()]
        caches = [one for one in files if one.stat().st_size >= BIG_BYTES]
        return sorted(caches, key=lambda one: one.stat().st_mtime)

    def settle(self) -> None:
        """Leave the machine idle for as long as it may take to save what was said last."""
        since, deadline = time.time() - 0.5, time.monotonic() + IDLE_S
        while self.folder.is_dir() and time.monotonic() < deadline:
            if any(one.stat().st_mtime > since for one in self.saved()):
                time.sleep(0.5)  # the last bytes, and the entry beside it
                return
            time.sleep(0.05)


@contextmanager
def a_place(engine: str, context: int, prefix: str = "") -> Iterator[Place]:
    """Serve, in a folder of its own; all of it is ended and removed with the block.

    Args:
        prefix: Lines of `[prefix]` in config.toml.
    """
    folder = Path(tempfile.mkdtemp(prefix="llp"))
    here = Installation(folder)
    try:
        config = f'allow_cpu = true\nengine = "{engine}"\n'
        if engine == "llama-server":
            config += f'llama_server = "{vulkan_engine.program()}"\n'
        here.configure(f"{config}[prefix]\n{prefix}\n")
        words = ("--context", str(context), "--parallel", "2")
        place = Place(here, *_two_models(engine, folder), words, config, engine not in NO_TOOLS)
        place.up()
        yield place
        place.down()
    finally:
        here.close()
        shutil.rmtree(folder, ignore_errors=True)


def _two_models(engine: str, folder: Path) -> tuple[str, str]:
    """One file or folder under two names."""
    if engine != "mlx":
        other = folder / "model-b.gguf"
        shutil.copyfile(smollm2(), other)
        return EMBEDDED, str(other)
    made = importlib.import_module("tests.mlx_smollm2")  # MLX's types are read by no check here
    for name in ("model-a", "model-b"):
        shutil.copytree(made.mlx_smollm2(), folder / name)
    return str(folder / "model-a"), str(folder / "model-b")
