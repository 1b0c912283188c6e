"""Hands lines from the thread that reads them to the screen, which looks now and then."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from threading import Lock

from localllm.tui.log_lines import MOST, left_out


class Inbox:
    """Holds so many lines at most; of a flood the oldest are left out, and that is said.

    Args:
        most: Lines.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lines: deque[str] = deque()
        self._missed = 0
        self._lock = Lock()

    def put(self, lines: Sequence[str]) -> None:
        """Add lines; never waits for the screen."""
        with self._lock:
            self._lines.extend(lines)
            while len(self._lines) > self._most:
                self._lines.popleft()
                self._missed += 1

    def take(self) -> list[str]:
        """Take all that is there, what was left out said before it."""
        if not self._lines:
            return []
        with self._lock:
            lines, missed = list(self._lines), self._missed
            self._lines.clear()
            self._missed = 0
        return [left_out(missed), *lines] if missed else lines
