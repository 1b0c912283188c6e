"""Shows a pull while it goes on: lines that are drawn over each other on a terminal, else a line a tenth."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import click

from localllm.api.pull_views import PullView
from localllm.cli.bars import can_show_blocks
from localllm.cli.columns import clipped
from localllm.cli.conventions import say
from localllm.cli.pull_frame import (
    FileLine,
    Frame,
    Meter,
    render_frame,
    render_line,
)
from localllm.store.job import PullProgress
from localllm.wording.figures import percent_of, share_of, size_of
from localllm.wording.plain import plain

_DRAW_EVERY_S = 0.1
_STEP = 0.1
_USUAL_COLUMNS = 80


class Display(Protocol):
    """Where frames are shown."""

    def show(self, frame: Frame) -> None: ...

    def end(self) -> None:
        """Leave what was drawn, for whatever is said next."""
        ...


@dataclass(slots=True)
class Screen:
    """Draws each frame over the one before."""

    write: Callable[[str], None]
    width: Callable[[], int]
    bars: tuple[str, str] = ("━", "─")
    clock: Callable[[], float] = time.monotonic
    _lines: int = 0
    _drawn_at: float = float("-inf")
    _pending: Frame | None = None

    def show(self, frame: Frame) -> None:
        now = self.clock()
        if now - self._drawn_at < _DRAW_EVERY_S:
            self._pending = frame
            return
        self._drawn_at = now
        self._draw(frame)

    def end(self) -> None:
        if self._pending is not None:
            self._draw(self._pending)
        self._lines = 0

    def _draw(self, frame: Frame) -> None:
        self._pending = None
        lines = render_frame(frame, self.width(), self.bars)
        up = f"\x1b[{self._lines}F" if self._lines else ""
        drawn = "".join(f"\x1b[2K{line}\n" for line in lines)
        self.write(f"{up}{drawn}\x1b[J")
        self._lines = len(lines)


@dataclass(slots=True)
class Log:
    """Says a line for every tenth, and once what stands in the way."""

    say: Callable[[str], None]
    _said: float = 0.0
    _note: str | None = None

    def show(self, frame: Frame) -> None:
        note = None if frame.note is None else re.sub(r"\d+", "N", frame.note)  # seconds run down
        if note is not None and note != self._note:
            self.say(f"{plain(frame.title)}: {plain(frame.note or '')}")
        self._note = note
        done = share_of(frame.here_bytes, frame.size_bytes)
        if done >= self._said + _STEP or (done >= 1.0 > self._said):
            self._said = int(done / _STEP) * _STEP if done < 1.0 else done
            self.say(render_line(frame))

    def end(self) -> None:
        """Nothing is left open."""


def a_display() -> Display:
    """What standard error can show."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return Log(say)
    bars = ("━", "─") if can_show_blocks(sys.stderr.encoding or "ascii") else ("#", ".")
    return Screen(_write, _columns, bars)


def _write(text: str) -> None:
    click.echo(text, err=True, nl=False)


def _columns() -> int:
    """Of standard error: standard output may be a file."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


@dataclass(slots=True)
class Framing:
    """Makes frames out of what is told of one pull."""

    title: str
    clock: Callable[[], float] = time.monotonic
    _whole: Meter = field(default_factory=Meter)
    _meters: dict[str, Meter] = field(default_factory=dict[str, Meter])

    def of_view(self, view: PullView) -> Frame:
        now = self.clock()
        files = tuple(self._line(now, f.path, f.size, f.here, f.state) for f in view.files)
        return Frame(self.title, files, view.speed, view.note)

    def of_progress(self, progress: PullProgress) -> Frame:
        now = self.clock()
        files = tuple(
            self._line(now, f.path, f.size_bytes, f.here_bytes, f.state.value)
            for f in progress.files
        )
        speed = self._whole.at(now, progress.here_bytes)
        return Frame(self.title, files, speed, progress.note)

    def _line(self, now: float, path: str, size_bytes: int, here: int, state: str) -> FileLine:
        meter = self._meters.setdefault(path, Meter())
        return FileLine(path, size_bytes, here, state, meter.at(now, here))


@dataclass(slots=True)
class Reading:
    """Shows how far the reading of files is: one line that changes, or nothing where nobody looks."""

    _open: bool = False
    _drawn_at: float = float("-inf")

    def __call__(self, name: str, here: int, whole: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (now - self._drawn_at < _DRAW_EVERY_S and here < whole):
            return
        self._drawn_at = now
        line = f"{plain(name)}: {percent_of(here, whole)} of {size_of(whole)}"
        self._open = True
        _write(f"\r\x1b[2K{clipped(line, _columns() - 1)}")

    def end(self) -> None:
        """Take the line away again."""
        if self._open:
            self._open = False
            _write("\r\x1b[2K")
