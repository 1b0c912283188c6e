"""What the supervisor asks of one running engine: is it up, does it get on, is it right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
import psutil

from localllm.engine_client.client import EngineClient, Speed
from localllm.engine_client.interview import Interview, interview
from localllm.engine_client.texts import EMBEDDINGS, RERANK, warm_up_texts
from localllm.engines.base import LaunchSpec, Serving, Task
from localllm.engines.load_log import LoadReport, misplaced, parse_load_log

_QUICK_TPS = 40.0
"""So quick an engine is interviewed at every start: it takes half a second."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One run of one instance, as far as those who ask it questions need to know."""

    spec: LaunchSpec
    pid: int
    log: Path
    log_from: int
    """Where this run's lines begin in the file that all runs append to."""

    def log_text(self) -> str:
        with self.log.open("rb") as file:
            file.seek(self.log_from)
            return file.read().decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a warm instance turned out to be, beside what the plan promised."""

    load: LoadReport
    resident_bytes: int | None
    speed: Speed
    doubts: tuple[str, ...] = ()
    """What is odd about its answers; requests are not shifted to one that has any."""


class Probe(Protocol):
    """How to ask an engine. The real one speaks HTTP; the tests' one is a fake."""

    async def healthy(self, watched: Watched) -> bool: ...

    async def warm_up(self, watched: Watched) -> Measured | None:
        """Check the load, send the first chat, measure.

        Raises:
            Exception: What is wrong, in words for the user.
        """
        ...

    def progress(self, watched: Watched) -> int | None:
        """Return a figure that changes while it loads or computes; None: cannot tell."""
        ...


class Misplaced(Exception):
    """The model is not where the plan put it."""


class Doubtful(Exception):
    """It answers oddly, and was to take over from one that serves."""


async def _unchecked(_client: EngineClient, _speed: Speed) -> Sequence[str]:
    return ()


class EngineProbe:
    """Asks an engine over HTTP, in whatever process it runs.

    Args:
        connect: Makes a client for a spec's endpoint.
        record: Keeps what a warm-up has measured.
        examine: Says what is doubtful about an interview.
        takes_over: Whether requests are to be shifted to it from another one.
        check: Says why it may not take over, where its user wants it examined more closely.
    """

    def __init__(
        self,
        serving: Serving,
        connect: Callable[[LaunchSpec], EngineClient],
        *,
        record: Callable[[Measured], None],
        examine: Callable[[Interview], Sequence[str]],
        takes_over: Callable[[], bool],
        check: Callable[[EngineClient, Speed], Awaitable[Sequence[str]]] = _unchecked,
    ) -> None:
        self._serving = serving
        self._connect = connect
        self._record = record
        self._examine = examine
        self._takes_over = takes_over
        self._check = check

    async def healthy(self, watched: Watched) -> bool:
        async with self._connect(watched.spec) as client:
            return await client.is_healthy()

    async def warm_up(self, watched: Watched) -> Measured:
        load = parse_load_log(watched.log_text())
        if watched.spec.tells_placement and (wrong := misplaced(load, self._serving)) is not None:
            raise Misplaced(wrong)
        async with self._connect(watched.spec) as client:
            speed = await self._first_requests(client)
            doubts = await self._interviewed(client, speed)
        measured = Measured(load, resident_bytes(watched.pid), speed, doubts)
        await anyio.to_thread.run_sync(self._record, measured)
        return measured

    async def _interviewed(self, client: EngineClient, speed: Speed) -> tuple[str, ...]:
        """Hear how it cuts a text and answers; nothing that writes slowly is held up for it.

        Raises:
            Doubtful: It is not to have the requests of another one.
        """
        takes_over = self._takes_over()
        quick = (speed.decode_tps or 0.0) >= _QUICK_TPS
        if self._serving.task is not Task.WRITE or not (takes_over or quick):
            return ()
        heard = await interview(client)
        doubts = tuple(await anyio.to_thread.run_sync(self._examine, heard))
        if takes_over and (reasons := doubts or await self._check(client, speed)):
            raise Doubtful(" ".join(reasons))
        return doubts

    async def _first_requests(self, client: EngineClient) -> Speed:
        """Ask for what the model is for."""
        match self._serving.task:
            case Task.WRITE:
                return await client.warm_up(self._serving.context)
            case Task.EMBED:
                return await warm_up_texts(client, EMBEDDINGS)
            case Task.RERANK:
                return await warm_up_texts(client, RERANK)

    def progress(self, watched: Watched) -> int | None:
        """Pages that came into memory, lines that were written, seconds that were computed.

        Polls cause none of them to speak of.
        """
        try:
            process = psutil.Process(watched.pid)
            resident, times = process.memory_info().rss, process.cpu_times()
        except psutil.Error:
            return None
        return (resident >> 20) + watched.log.stat().st_size + int(times.user + times.system)


def resident_bytes(pid: int) -> int | None:
    """Memory that a process holds, pages of the mapped model file included; None if it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
