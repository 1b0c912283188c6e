"""Pulls that run for as long as a test does, whose processes are `fake_puller.py`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from localllm.config.current import Current
from localllm.config.settings import Downloads, Settings
from localllm.events import Envelope, PullChanged, PullMoved
from localllm.paths import Paths, bundled_profiles
from localllm.planning.desk import Desk
from localllm.planning.pull_plans import PullPlan
from localllm.store.job import PullJob
from localllm.store.repository import RepositoryFile
from localllm.supervisor.bus import EventBus
from localllm.supervisor.pulling_list import PullPolicy
from localllm.supervisor.pulls import Pulls

FAKE = Path(__file__).with_name("fake_puller.py")
DEADLINE_S = 15.0
LOOK_EVERY_S = 0.005
QUICK = PullPolicy(at_once=2, max_crashes=2, backoff_first_s=0.02)
COMMIT = "c" * 40


def a_plan(does: str, *paths: str, on_disk: bool = False) -> PullPlan:
    """Plan a pull whose process does what `fake_puller.py` knows under a word."""
    named = () if on_disk else (paths or ("a.gguf",))
    files = tuple(RepositoryFile(path, 100_000, sha256=path[0] * 64) for path in named)
    job = PullJob(f"o/{does}", COMMIT, files)
    return PullPlan(f"hf:o/{does}", "Q8_0", job, "it fits", on_disk, job.size_bytes)


def fake_puller(folder: Path) -> list[str]:
    return [sys.executable, "-S", str(FAKE), str(folder)]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def a_desk(folder: Path, **downloads: Any) -> Desk:
    paths = Paths(*(folder / name for name in ("config", "data", "state", "cache")))
    paths.state.mkdir(exist_ok=True)
    environment = {"HF_HUB_CACHE": str(folder / "hub")}
    return Desk(
        Current.of(Settings(downloads=Downloads(**downloads))),
        paths,
        environment,
        bundled_profiles(),
    )


@dataclass(frozen=True, slots=True)
class Yard:
    """Pulls, and what is heard of them."""

    folder: Path
    pulls: Pulls
    bus: EventBus
    heard: list[Envelope]

    def states(self) -> list[str]:
        return [view.state for view in self.pulls.book.views()]

    def changes(self, pull: str = "p1") -> list[str]:
        """Which states a pull has been in since the yard was put up."""
        found = [e.event for e in self.heard if isinstance(e.event, PullChanged)]
        return [event.new for event in found if event.pull == pull]

    def moves(self) -> list[PullMoved]:
        return [e.event for e in self.heard if isinstance(e.event, PullMoved)]

    def noted(self, what: str, does: str = "") -> list[dict[str, Any]]:
        """What the processes have noted."""
        file = self.folder / "record"
        lines = file.read_text().splitlines() if file.exists() else []
        notes = [json.loads(line) for line in lines]
        return [n for n in notes if n["what"] == what and n["repo"].startswith(f"o/{does}")]

    def go(self) -> None:
        """Let the processes come to their ends."""
        (self.folder / "go").touch()

    async def until(self, holds: Callable[[], object]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not holds():
                await anyio.sleep(LOOK_EVERY_S)

    async def until_states(self, *states: str) -> None:
        await self.until(lambda: self.states() == [*states])

    async def begun(self, does: str, times: int = 1) -> int:
        """Wait until a process has begun, and said how far it is; return its process id."""
        await self.until(lambda: len(self.noted("begin", does)) >= times)
        return int(self.noted("begin", does)[-1]["pid"])


@asynccontextmanager
async def a_yard(folder: Path, policy: PullPolicy = QUICK, **downloads: Any) -> AsyncIterator[Yard]:
    """Put it up; leaving the block ends it as the end of the daemon does."""
    bus = EventBus()
    pulls = Pulls(a_desk(folder, **downloads), bus, fake_puller(folder), policy)
    heard: list[Envelope] = []

    async def listen() -> None:
        with bus.subscribe() as events:
            async for envelope in events:
                heard.append(envelope)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        await anyio.wait_all_tasks_blocked()
        await tasks.start(pulls.run)
        yield Yard(folder, pulls, bus, heard)
        tasks.cancel_scope.cancel()
