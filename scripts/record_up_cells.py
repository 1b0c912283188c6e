"""What stands on a terminal: rows of runs, each of one look, with every colour known. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

_ANSI = [
    (0x20, 0x24, 0x2F),
    (0xF7, 0x76, 0x8E),
    (0x9E, 0xCE, 0x6A),
    (0xE0, 0xAF, 0x68),
    (0x7A, 0xA2, 0xF7),
    (0xBB, 0x9A, 0xF7),
    (0x7D, 0xCF, 0xFF),
    (0xC8, 0xD0, 0xE0),
]
INK, PAPER = "#c8d0e0", "#11131a"
"""Of text and ground where nothing else is asked for: the screen's dark theme has the same."""

_THEME = TerminalTheme((0x11, 0x13, 0x1A), (0xC8, 0xD0, 0xE0), _ANSI, _ANSI)
_DIM = 0.55
"""How much of its colour dim text keeps; the rest is its ground's."""


@dataclass(frozen=True, slots=True)
class Look:
    """Colours are `#rrggbb`."""

    ink: str = INK
    paper: str = PAPER
    is_bold: bool = False
    is_italic: bool = False
    is_underlined: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Text of one look, that begins in a column, and is so many columns wide."""

    column: int
    columns: int
    text: str
    look: Look


Row = tuple[Run, ...]
Screen = tuple[Row, ...]


def read_ansi(lines: Iterable[str]) -> Screen:
    """Read what a terminal would be sent to look like this, a line a row."""
    console = Console(color_system="truecolor", legacy_windows=False)
    return tuple(read_row(Text.from_ansi(line).render(console)) for line in lines)


def read_row(segments: Iterable[Segment]) -> Row:
    """Lay the segments of one line side by side; neighbours of one look become one run."""
    runs: list[Run] = []
    column = 0
    for text, style, control in segments:
        columns = cell_len(text)
        if control or not columns:
            continue
        run = Run(column, columns, text, _look(style))
        if runs and runs[-1].look == run.look:
            run = replace(
                runs[-1], columns=runs[-1].columns + columns, text=runs[-1].text + run.text
            )
            runs.pop()
        runs.append(run)
        column += columns
    return tuple(runs)


def with_cursor(screen: Screen, column: int, row: int) -> Screen:
    """Stand a block there, with what is below it in the colour of the ground."""
    pieces = list(_cut(screen[row], column, column + 1))
    under = pieces[1] or (Run(column, 1, " ", Look()),)
    look = replace(under[0].look, ink=under[0].look.paper, paper=under[0].look.ink)
    pieces[1] = (replace(under[0], look=look),)
    return (*screen[:row], tuple(run for piece in pieces for run in piece), *screen[row + 1 :])


def _cut(row: Row, begin: int, end: int) -> tuple[Row, Row, Row]:
    """Take a row apart before and after some columns; runs there have one column a character."""
    return _within(row, 0, begin), _within(row, begin, end), _within(row, end, 1 << 16)


def _within(row: Row, begin: int, end: int) -> Row:
    found: list[Run] = []
    for run in row:
        first, last = max(run.column, begin), min(run.column + run.columns, end)
        if first < last:
            text = run.text[first - run.column : last - run.column]
            found.append(Run(first, last - first, text, run.look))
    return tuple(found)


def _look(style: Style | None) -> Look:
    if style is None:
        return Look()
    ink = INK if style.color is None else style.color.get_truecolor(_THEME).hex
    paper = PAPER
    if style.bgcolor is not None:
        paper = style.bgcolor.get_truecolor(_THEME, foreground=False).hex
    if style.reverse:
        ink, paper = paper, ink
    if style.dim:
        ink = _between(paper, ink, _DIM)
    return Look(ink, paper, bool(style.bold), bool(style.italic), bool(style.underline))


def _between(one: str, other: str, share: float) -> str:
    mixed = (
        round((1 - share) * int(one[i : i + 2], 16) + share * int(other[i : i + 2], 16))
        for i in (1, 3, 5)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)
