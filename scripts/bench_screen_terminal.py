"""A terminal that notes when what came, and a scripted daemon to look at, for scripts/bench_screen."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 120, 40
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Daemon:
    """See bench_screen_daemon.py."""

    process: subprocess.Popen[str]
    home: Path

    def tell(self, word: str) -> float:
        """Have it do something; returns the monotonic time of its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline())["at"])

    def environment(self) -> dict[str, str]:
        """Of a screen that shows it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LOCALLLM_", "TMUX"))}
        path = os.pathsep.join(p for p in (str(ROOT), kept.get("PYTHONPATH")) if p)
        own = {"LOCALLLM_HOME": str(self.home), "PYTHONPATH": path, "TERM": "xterm-256color"}
        return {**kept, **own}


@contextmanager
def scripted() -> Iterator[Daemon]:
    """Have one run for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="llb") as folder:
        state = Path(folder) / "state"
        state.mkdir()
        command = [sys.executable, str(Path(__file__).with_name("bench_screen_daemon.py"))]
        with subprocess.Popen(
            [*command, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            daemon = Daemon(process, Path(folder))
            daemon.tell("idle")
            yield daemon
            process.terminate()


@dataclass(slots=True)
class Screen:
    """`localllm tui` on a pseudo terminal, from the side of the person; mutable.

    Args:
        ours: Where its bytes come out.
    """

    process: subprocess.Popen[bytes]
    ours: int
    _came: bytearray = field(default_factory=bytearray)

    def until(self, text: str) -> float:
        """Wait for a text to be drawn, since the last call; returns when its last byte came.

        Raises:
            TimeoutError: It did not come.
        """
        wanted, deadline = text.encode(), time.monotonic() + _PATIENCE_S
        while wanted not in self._came:
            if not self._take(deadline - time.monotonic()):
                raise TimeoutError(f"{text!r} was not drawn within {_PATIENCE_S} s")
        at = time.monotonic()
        self._came.clear()
        return at

    def rest(self, for_s: float) -> int:
        """Let so many seconds pass; returns how many bytes came."""
        count, end = 0, time.monotonic() + for_s
        while (left := end - time.monotonic()) > 0:
            count += self._take(left)
        self._came.clear()
        return count

    def press(self, key: str) -> float:
        """Press a key; returns when."""
        at = time.monotonic()
        os.write(self.ours, key.encode())
        return at

    def _take(self, within_s: float) -> int:
        if within_s <= 0 or not select.select([self.ours], [], [], within_s)[0]:
            return 0
        came = os.read(self.ours, 1 << 16)
        self._came += came
        return len(came)


@contextmanager
def opened(daemon: Daemon) -> Iterator[Screen]:
    """Open the screen; leaving the block ends it."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "localllm", "tui"],
        env=daemon.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
