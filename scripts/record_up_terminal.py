"""A real terminal that nobody sees: a tmux of the script's own, which is typed into and filmed."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from record_up_cells import Screen, read_ansi, with_cursor
from record_up_svg import Frame

_LOOK_EVERY_S = 1 / 15
_KEY_EVERY_S = 0.03
_PROMPT = r"\[\e[1;32m\]$\[\e[0m\] "


@dataclass(frozen=True, slots=True)
class Terminal:
    """Of so many columns and rows, with a shell in it.

    Args:
        socket: By which this tmux is reached, and no other.
    """

    socket: Path
    columns: int
    rows: int

    def ask(self, *words: str) -> str:
        """Have tmux do something; return what it says.

        Raises:
            CalledProcessError: It could not.
        """
        command = ["tmux", "-u", "-S", str(self.socket), "-f", "/dev/null", *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout

    def type(self, text: str) -> None:
        """Type at the speed of somebody who can; then enter."""
        for character in text:
            self.ask("send-keys", "-l", "\\;" if character == ";" else character)
            time.sleep(_KEY_EVERY_S)
        time.sleep(0.3)
        self.press("Enter")

    def press(self, key: str) -> None:
        """Press one key, by tmux's name of it."""
        self.ask("send-keys", key)

    def text(self) -> str:
        """What can be read there."""
        return self.ask("capture-pane", "-p")

    def wait_for(self, *texts: str, within_s: float = 60.0) -> None:
        """Wait until all of it can be read there.

        Raises:
            TimeoutError: It cannot, with what can.
        """
        deadline = time.monotonic() + within_s
        while not all(text in self.text() for text in texts):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {within_s} s: {texts}\n{self.text()}")
            time.sleep(0.1)

    def look(self) -> Screen:
        """What can be seen there."""
        where = "#{cursor_flag} #{cursor_x} #{cursor_y}"
        answer = self.ask("display-message", "-p", where, ";", "capture-pane", "-p", "-e", "-N")
        first, *lines = answer.split("\n")
        is_shown, column, row = (int(word) for word in first.split())
        screen = read_ansi((lines + [""] * self.rows)[: self.rows])
        if not is_shown or column >= self.columns:
            return screen
        return with_cursor(screen, column, row)


@contextmanager
def a_terminal(
    socket: Path, size: tuple[int, int], environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Open one whose shell has this environment and no other; it is closed with the block."""
    terminal = Terminal(socket, *size)
    settings = [f"{name}={value}" for name, value in environment.items()]
    shell = ["env", "-i", *settings, f"PS1={_PROMPT}", "bash", "--norc", "--noprofile", "-i"]
    where = ["new-session", "-d", "-x", str(size[0]), "-y", str(size[1])]
    terminal.ask("set", "-g", "status", "off", ";", *where, "--", *shell)
    try:
        yield terminal
    finally:
        terminal.ask("kill-server")


@dataclass(slots=True)
class Film:
    """Looks at a terminal in a thread of its own, while `recording` lasts."""

    terminal: Terminal
    frames: list[Frame] = field(default_factory=list[Frame])
    rate: float = 1.0
    """Seconds of the film a second: less than 1 where somebody only waits."""

    keys: str = ""
    """What is told of keys, beside what can be seen."""

    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record as long as the block runs."""
        thread = threading.Thread(target=self._look_on)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    @contextmanager
    def hurrying(self, rate: float) -> Iterator[None]:
        """Have the time in this block be shorter in the film."""
        self.rate = rate
        try:
            yield
        finally:
            self.rate = 1.0

    def press(self, *keys: str, said: str = "") -> None:
        """Press keys, by tmux's names of them, and tell so in the film; nothing said: their names."""
        self.keys = said or " ".join(keys)
        for key in keys:
            self.terminal.press(key)
            time.sleep(_KEY_EVERY_S)

    def _look_on(self) -> None:
        at_s, last = 0.0, time.monotonic()
        while not self._over.wait(_LOOK_EVERY_S):
            screen, now = self.terminal.look(), time.monotonic()
            at_s += (now - last) * self.rate
            last = now
            self.frames.append(Frame(at_s, screen, self.keys))
