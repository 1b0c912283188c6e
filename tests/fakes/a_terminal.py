"""A person's terminal: a tmux server of a test's own, where keys are typed and the screen is read."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SHOWN_WITHIN_S = 30.0


def require_tmux() -> str:
    """Find it.

    Raises:
        AssertionError: It is not installed.
    """
    program = shutil.which("tmux")
    assert program is not None, "tmux is not installed; apt-get install tmux"
    return program


@dataclass(frozen=True, slots=True)
class Window:
    """One terminal with a shell in it, of which `shown` is what a person sees."""

    server: tuple[str, ...]
    """What every call of this server begins with."""

    name: str

    def type(self, text: str) -> None:
        """Type it, letter by letter, as it stands."""
        self._tmux("send-keys", "-t", self.name, "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, Escape, Down, C-p; a letter is itself."""
        self._tmux("send-keys", "-t", self.name, *keys)

    def run(self, command: str) -> None:
        """Have the shell run it."""
        self.type(command)
        self.press("Enter")

    def shown(self) -> str:
        return self._tmux("capture-pane", "-p", "-t", self.name)

    def wait_for(self, *texts: str, within_s: float = _SHOWN_WITHIN_S) -> str:
        """Look until all of it can be read at once; return the whole screen."""
        return self.wait_until(
            lambda text: all(one in text for one in texts), f"to see {texts}", within_s
        )

    def wait_until(
        self, holds: Callable[[str], bool], what: str, within_s: float = _SHOWN_WITHIN_S
    ) -> str:
        """Look until it holds of the screen's text."""
        deadline = time.monotonic() + within_s
        while not holds(text := self.shown()):
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{text}"
            time.sleep(0.05)
        return text

    def facts(self, *names: str) -> dict[str, str]:
        """What tmux knows of it, by the names of its formats: alternate_on, cursor_flag, pane_pid."""
        said = self._tmux(
            "display-message", "-p", "-t", self.name, "\t".join(f"#{{{name}}}" for name in names)
        )
        return dict(zip(names, said.rstrip("\n").split("\t"), strict=True))

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-t", self.name, "-x", str(width), "-y", str(height))

    def record(self, file: Path) -> None:
        """Write every byte that is sent to the terminal from now on to a file."""
        self._tmux("pipe-pane", "-O", "-t", self.name, f"exec cat >> '{file}'")

    def _tmux(self, *words: str) -> str:
        return subprocess.check_output([*self.server, *words], text=True, timeout=20)


class Terminals:
    """Windows of one tmux server.

    Args:
        folder: Gets its socket; short, as a socket's path has to be.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._server = (require_tmux(), "-S", str(folder / "tmux"), "-f", "/dev/null", "-u")
        kept = {k: v for k, v in environment.items() if k not in {"TMUX", "TMUX_PANE"}}
        self._environment = {**kept, "TERM": "xterm-256color"}
        self._opened = 0

    def open(self, width: int = 120, height: int = 40) -> Window:
        """Open one more, of a size in columns and lines, with a shell in it."""
        self._opened += 1
        name = f"w{self._opened}"
        size = ("-x", str(width), "-y", str(height))
        words = ("new-session", "-d", "-s", name, *size, "sh")
        subprocess.run([*self._server, *words], env=self._environment, check=True, timeout=20)
        return Window(self._server, name)

    def close(self) -> None:
        """End the server, and with it all that runs in its windows."""
        subprocess.run([*self._server, "kill-server"], capture_output=True, check=False, timeout=20)


@contextmanager
def terminals(environment: Mapping[str, str]) -> Iterator[Terminals]:
    """Have terminals for as long as the block lasts."""
    folder = Path(tempfile.mkdtemp(prefix="llt"))
    made = Terminals(folder, environment)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)
