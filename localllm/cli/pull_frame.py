"""Draws how far a pull is: several lines for a terminal, or one for a log. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from localllm.cli.columns import clipped, columns, padded
from localllm.units import duration
from localllm.wording.figures import part_of, percent_of, rate, share_of
from localllm.wording.plain import plain

_BAR, _FIGURES = 12, 53
"""Columns of a bar, and of figures as they mostly are at their longest."""

_LEAST_NAME, _GOOD_NAME = 12, 16
_MOST_FILES = 6
"""That have lines of their own."""

_OVER_S = 5.0
"""Speeds are means over so long."""

_APART_S = 0.1
_LONGEST_S = 99 * 3600.0
_WORDS = {
    "waiting": "waiting",
    "elsewhere": "another program fetches it",
    "checking": "checking",
    "done": "done",
}


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file of a pull."""

    path: str
    size_bytes: int
    here_bytes: int
    state: str
    """One of store.job.FileState."""

    bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """What there is to see of a pull at one moment."""

    title: str
    files: tuple[FileLine, ...]
    bytes_per_s: float | None
    note: str | None
    """What stands in the way."""

    @property
    def here_bytes(self) -> int:
        return sum(file.here_bytes for file in self.files)

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(slots=True)
class Meter:
    """Tells how fast something grows: the mean over the last seconds."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def at(self, now: float, count: int) -> float | None:
        """Take a new reading; None until two of them are far enough apart."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()  # it was begun anew
        if not self._seen or now - self._seen[-1][0] >= _APART_S:
            self._seen.append((now, count))
        while len(self._seen) > 2 and self._seen[1][0] <= now - _OVER_S:  # noqa: PLR2004
            self._seen.popleft()
        since, was = self._seen[0]
        return (count - was) / (now - since) if now > since and count > was else None


def render_frame(frame: Frame, width: int, bars: tuple[str, str] = ("━", "─")) -> list[str]:
    """Draw a title, a line a file, their sum, and what stands in the way.

    Args:
        width: Columns of the terminal; every line is shorter.
        bars: What a bar is drawn with, full and empty.
    """
    shown, more = _shown(frame.files)
    rows = [(_name(file.path), file) for file in shown]
    if len(frame.files) > 1:
        rows.append(("in all", _sum(frame)))
    room = width - 1
    names = ["in all", *(_name(file.path) for file in frame.files)]
    longest = max(map(columns, names if len(rows) > 1 else names[1:]))
    with_bar = bars if room >= min(longest, _GOOD_NAME) + _FIGURES + _BAR + 6 else None
    beside = 4 if with_bar is None else _BAR + 6
    name_width = min(longest, max(_LEAST_NAME, room - _FIGURES - beside))  # so that nothing jumps
    left = room - name_width - beside
    lines = [plain(frame.title)]
    lines += [
        f"  {padded(name, name_width)}  {_figures(row, with_bar, left)}" for name, row in rows
    ]
    if more:
        lines.insert(len(shown) + 1, f"  {more}")
    if frame.note is not None:
        lines.append(f"  {plain(frame.note)}")
    return [clipped(line, room).rstrip() for line in lines]


def render_line(frame: Frame) -> str:
    """Draw it in one line, for where nobody watches."""
    return f"{plain(frame.title)}: {'  '.join(_parts(_sum(frame)))}"


def _shown(files: Sequence[FileLine]) -> tuple[Sequence[FileLine], str]:
    """Choose the files that get a line, in their order: those at work first, then large ones."""
    if len(files) <= _MOST_FILES:
        return files, ""
    idle = {"waiting", "done"}
    ranked = sorted(range(len(files)), key=lambda i: (files[i].state in idle, -files[i].size_bytes))
    chosen = sorted(ranked[:_MOST_FILES])
    left = [files[i] for i in ranked[_MOST_FILES:]]
    done = sum(file.state == "done" for file in left)
    return [files[i] for i in chosen], f"and {len(left)} more files, {done} of them done"


def _sum(frame: Frame) -> FileLine:
    states = {file.state for file in frame.files}
    state = states.pop() if len(states) == 1 else "fetching"
    return FileLine("", frame.size_bytes, frame.here_bytes, state, frame.bytes_per_s)


def _name(path: str) -> str:
    return plain(path.rpartition("/")[2])


def _figures(file: FileLine, bars: tuple[str, str] | None, room: int) -> str:
    """Say as much as there is room for: the bytes go first, then the speed."""
    parts = _parts(file)
    for dispensable in (1, 1):
        if len("  ".join(parts)) > room and len(parts) > 2:  # noqa: PLR2004
            del parts[dispensable]
    said = "  ".join(parts)
    if bars is None:
        return said
    filled = int(_BAR * share_of(file.here_bytes, file.size_bytes))  # full when nothing lacks
    return f"{bars[0] * filled}{bars[1] * (_BAR - filled)}  {said}"


def _parts(file: FileLine) -> list[str]:
    here, size = file.here_bytes, file.size_bytes
    parts = [f"{percent_of(here, size):>4}", part_of(here, size)]
    if file.state in _WORDS:
        return [*parts, _WORDS[file.state]]
    if file.bytes_per_s:
        left_s = min(ceil((size - here) / file.bytes_per_s), _LONGEST_S)
        parts += [rate(file.bytes_per_s), f"{duration(left_s)} left"]
    return parts
