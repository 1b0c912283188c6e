"""A pull that is cut and killed at random, and what of its bytes had to be sent twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench_download_pulls import Bench, Home, Puller

CUTS, KILLS = 20, 5
PATIENCE_S = 600.0
LOOK_EVERY_S = 0.02
SEND_BUFFER_BYTES = 64 << 10
"""Of the hub's connections: what lies there when a process is killed is lost."""


@dataclass(frozen=True, slots=True)
class Round:
    """One pull, to its end."""

    seed: int
    cuts: int
    kills: int
    gave_up: int
    """How often it ended with an error because of a cut, and had to be called again."""

    moved_bytes: int
    """Of the file, as the hub counts what it sent."""

    moved_ratio: float
    is_right: bool
    took_s: float


def cut_and_killed(bench: Bench, puller: Puller, *, pace: float, seed: int) -> Round:
    """Pull the model; `pace` is the hub's, in bytes a second.

    Raises:
        RuntimeError: It fails again and again, or takes too long.
    """
    chosen = random.Random(seed)  # noqa: S311  # moments to kill at, no secrets
    kills_at = sorted(chosen.sample(range(bench.size // 50, bench.size * 49 // 50), KILLS))
    setting = {"bytes_per_s": pace, "send_buffer_bytes": SEND_BUFFER_BYTES}
    cuts = {"times": CUTS, "within_bytes": bench.size, "seed": seed}
    bench.hub.tell(heal=True, forget=True, set=setting)
    bench.hub.tell(cuts=cuts)
    began = time.monotonic()
    try:
        with bench.home() as home:
            gave_up = sum(_kill_at(bench, home, puller, at) for at in kills_at)
            gave_up += _finish(home, puller)
            told, is_right = bench.hub.tell(), bench.is_right(home)
    finally:
        bench.hub.tell(heal=True, set={"bytes_per_s": None, "send_buffer_bytes": None})
    moved = bench.moved(told["sent_of"])
    return Round(
        seed=seed,
        cuts=CUTS - told["cuts_left"],
        kills=KILLS,
        gave_up=gave_up,
        moved_bytes=moved,
        moved_ratio=moved / bench.size,
        is_right=is_right,
        took_s=time.monotonic() - began,
    )


def _kill_at(bench: Bench, home: Home, puller: Puller, at: int) -> int:
    """Kill it once the hub has sent so many bytes in all; tell how often it gave up before."""
    for gave_up in range(CUTS + 1):
        with puller.start(home) as process:
            try:
                if _waits(process, lambda: bench.moved(bench.hub.tell()["sent_of"]) >= at):
                    return gave_up
            finally:
                _kill(process)
    raise RuntimeError(_last_words(home))


def _finish(home: Home, puller: Puller) -> int:
    """Let it come to its end; tell how often it gave up before."""
    for gave_up in range(CUTS + 1):
        with puller.start(home) as process:
            try:
                if process.wait(PATIENCE_S) == 0:
                    return gave_up
            finally:
                _kill(process)
    raise RuntimeError(_last_words(home))


def _waits(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> bool:
    """Wait until it happened, or the process has ended; tell whether it did."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(LOOK_EVERY_S)
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and its children, as a crash of the machine would."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_words(home: Home) -> str:
    said = (home.folder / "out").read_text(errors="replace")
    return f"it does not go on, and said:\n{said[-2000:]}"
