"""The engine without localllm: xllamacpp's server as it comes, with two slots, and what it reads again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from bench_prefix_rows import MAIN, taking_turns
from bench_prefix_talks import Row, Talks

from tests.fakes.installation import free_port
from tests.smollm2 import smollm2

STARTS_WITHIN_S = 120.0
NO_HOST_CACHE = {"cache_ram_mib": 0}

_SERVE = """
import json, signal, sys, xllamacpp
params = xllamacpp.CommonParams()
said = json.loads(sys.argv[1])
params.model.path, params.hostnames = said.pop("model"), ["127.0.0.1"]
for name, value in said.items():
    setattr(params, name, value)
server = xllamacpp.Server(params)
signal.pause()
"""


@dataclass(slots=True)
class BarePlace:
    """One server; it is ended and started again as a user would."""

    context: int
    options: dict[str, int] = field(default_factory=dict[str, int])
    name: str = "bare"
    port: int = 0
    calls_tools: bool = True
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has loaded."""
        self.port = free_port()
        said = {"model": str(smollm2()), "n_ctx": self.context, "n_parallel": 2, "port": self.port}
        command = [sys.executable, "-c", _SERVE, json.dumps({**said, **self.options})]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not self._is_healthy():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                raise RuntimeError(f"xllamacpp does not serve; it ended with {ended}")
            time.sleep(0.05)

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        self.end()
        self.start()

    def last_event(self) -> int:
        return 0

    def start_s(self, seen: int) -> float:  # noqa: ARG002  # who starts it waits for it
        return 0.0

    def _is_healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def bare(context: int, **options: int) -> Iterator[BarePlace]:
    """Serve; it is ended with the block."""
    place = BarePlace(context, options)
    try:
        place.start()
        yield place
    finally:
        place.end()


def measure_bare(context: int, scale: float, rounds: int) -> Iterator[Row]:
    """Measure what can happen to an engine that nobody looks after."""
    with bare(context) as place:
        yield from _as_it_comes(place, Talks(place, scale), rounds)
    with bare(context, **NO_HOST_CACHE) as place:
        yield from _without_host_cache(Talks(place, scale))


def _as_it_comes(place: BarePlace, talks: Talks, rounds: int) -> Iterator[Row]:
    yield talks.begin(MAIN, "claude-code")
    yield talks.go_on(MAIN, "second turn")
    talks.in_between(MAIN)
    yield talks.go_on(MAIN, "after a title, a summary, a count, another client")
    place.restart()
    yield talks.go_on(MAIN, "after the engine's restart, whatever the reason")
    yield talks.begin("opencode", "opencode")
    two = (MAIN, "opencode")
    yield taking_turns(talks, two, rounds, "two agents taking turns on two slots")
    yield talks.begin("codex", "codex")
    yield talks.begin("claude, another project", "claude-code")
    four = (*two, "codex", "claude, another project")
    yield taking_turns(talks, four, rounds, "four agents taking turns on two slots")
    yield talks.begin_again("claude, billed", MAIN, "2.1.330.a1b")


def _without_host_cache(talks: Talks) -> Iterator[Row]:
    yield talks.begin(MAIN, "claude-code")
    talks.in_between(MAIN)
    yield talks.go_on(MAIN, "no host cache: after a title, ..., another client")
    for name in ("opencode", "codex"):
        talks.begin(name, name)
    talks.begin("claude, another project", "claude-code")
    four = (MAIN, "opencode", "codex", "claude, another project")
    yield taking_turns(talks, four, 1, "no host cache: four agents on two slots")
