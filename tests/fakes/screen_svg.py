"""A picture of the screen as a small SVG, and how two of them differ. Pure.

Textual can export SVG itself. Its files are 5 to 10 times as large, name their styles by a sum over
the whole picture, so that one letter changes every line, and fetch a font from the network. Here each
row of the screen is a line of the file: a change is as small as it looks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import groupby
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from rich.cells import cell_len

CELL_WIDTH, CELL_HEIGHT, BASELINE = 10, 20, 15
_FONT_SIZE = 16.6
"""At which most fonts of one width have letters 10 wide."""

_FONTS = "ui-monospace, Menlo, Consolas, 'Cascadia Mono', 'DejaVu Sans Mono', monospace"
_NAMESPACE = "{http://www.w3.org/2000/svg}"
_WORDS = re.compile(r"[!-~]+(?: [!-~]+)*|[^ -~]+")
"""Words with one blank between them, or signs that the font may lack: each is put in its place alone."""

_SHOWN_COLOURS = 6
"""Of a row whose colours alone differ."""


@dataclass(frozen=True, slots=True)
class Ink:
    """Colours as in #c8d0e0."""

    colour: str
    ground: str
    marks: frozenset[str] = frozenset()
    """Of bold, italic, underline, strike."""


@dataclass(frozen=True, slots=True)
class Run:
    """Some text of one row, in one ink."""

    text: str
    ink: Ink


Rows = Sequence[Sequence[Run]]
_MARKS = {"bold": 'font-weight="bold"', "italic": 'font-style="italic"'}
_LINES = {"strike": "line-through", "underline": "underline"}


def render_svg(rows: Rows, columns: int) -> str:
    """Draw it: what stands on the commonest ground in the commonest colour says neither."""
    usual = Ink(
        _commonest((run.ink.colour, run) for row in rows for run in row if run.text.strip()),
        _commonest((run.ink.ground, run) for row in rows for run in row),
    )
    width, height = columns * CELL_WIDTH, len(rows) * CELL_HEIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="{_FONTS}" font-size="{_FONT_SIZE}" xml:space="preserve" fill="{usual.colour}">'
    )
    ground = f'<rect width="{width}" height="{height}" fill="{usual.ground}"/>'
    drawn = (_render_row(number, row, usual) for number, row in enumerate(rows))
    return "\n".join([head, ground, *drawn, "</svg>", ""])


def _commonest(found: Iterable[tuple[str, Run]]) -> str:
    count: Counter[str] = Counter()
    for colour, run in found:
        count[colour] += len(run.text)
    return max(count, key=lambda colour: (count[colour], colour), default="#000000")


def _render_row(number: int, row: Sequence[Run], usual: Ink) -> str:
    drawn = [*_grounds(row, usual), *_texts(row, usual)]
    return f'<g transform="translate(0,{number * CELL_HEIGHT})">{"".join(drawn)}</g>'


def _grounds(row: Sequence[Run], usual: Ink) -> Iterable[str]:
    at = 0
    for colour, runs in groupby(row, key=lambda run: run.ink.ground):
        width = cell_len("".join(run.text for run in runs)) * CELL_WIDTH
        if colour != usual.ground and width:
            yield f'<rect x="{at}" width="{width}" height="{CELL_HEIGHT}" fill="{colour}"/>'
        at += width


def _texts(row: Sequence[Run], usual: Ink) -> Iterable[str]:
    at = 0
    for (colour, marks), runs in groupby(row, key=lambda run: (run.ink.colour, run.ink.marks)):
        text = "".join(run.text for run in runs)
        said = [said for mark, said in _MARKS.items() if mark in marks]
        lines = " ".join(line for mark, line in _LINES.items() if mark in marks)
        said += [f'text-decoration="{lines}"'] if lines else []
        said += [] if colour == usual.colour else [f'fill="{colour}"']
        for found in _WORDS.finditer(text):
            x = (at + cell_len(text[: found.start()])) * CELL_WIDTH
            width = cell_len(found[0]) * CELL_WIDTH
            place = f'x="{x}" y="{BASELINE}" textLength="{width}"'
            yield f"<text {' '.join([place, *said])}>{escape(found[0])}</text>"
        at += cell_len(text)


def read_lines(svg: str) -> list[str]:
    """Read the text of a picture, as a person does.

    Raises:
        ParseError: It is no SVG.
    """
    root = ET.fromstring(svg)
    return [_read_row(group) for group in root.iter(f"{_NAMESPACE}g")]


def _read_row(group: ET.Element) -> str:
    line = ""
    for one in sorted(group.iter(f"{_NAMESPACE}text"), key=_place):
        column = _place(one) // CELL_WIDTH
        line += " " * (column - cell_len(line)) + (one.text or "")
    return line


def _place(element: ET.Element) -> int:
    return int(element.get("x", "0"))


def describe_difference(before: str, now: str) -> str:
    """Say how two pictures differ: by their text, and where that is the same, by their colours."""
    was, is_ = read_lines(before), read_lines(now)
    lines = [*unified_diff(was, is_, "as it is stored", "as it is now", lineterm="")]
    if was == is_:
        lines = [*_coloured_otherwise(before, now, is_)]
    return "\n".join(lines)


def _coloured_otherwise(before: str, now: str, lines: Sequence[str]) -> Iterable[str]:
    yield "the text is the same; what is coloured or written otherwise:"
    was, is_ = _colours(before), _colours(now)
    if was[0] != is_[0]:
        yield f"  all of it: {was[0]} -> {is_[0]}"
    for number, line in enumerate(lines, 1):
        changed = [*dict.fromkeys(_changes(was[number], is_[number]))]
        if changed:
            yield f"  line {number}: {line.strip()}"
            yield from (f"    {change}" for change in changed[:_SHOWN_COLOURS])


def _changes(before: list[str], now: list[str]) -> Iterable[str]:
    yield from (f"- {one}" for one in before if one not in now)
    yield from (f"+ {one}" for one in now if one not in before)


def _colours(svg: str) -> list[list[str]]:
    """What is said of colours, of all of it and then row by row."""
    root = ET.fromstring(svg)
    ground = root.find(f"{_NAMESPACE}rect")
    assert ground is not None, "it was drawn by render_svg"
    usual = [f"{root.get('fill')} on {ground.get('fill')}"]
    return [usual, *([_ink(one) for one in group] for group in root.iter(f"{_NAMESPACE}g"))]


def _ink(element: ET.Element) -> str:
    names = ("fill", "font-weight", "font-style", "text-decoration")
    said = " ".join(filter(None, (element.get(name) for name in names))) or "as usual"
    column = _place(element) // CELL_WIDTH + 1
    cells = int(element.get("textLength") or element.get("width") or 0) // CELL_WIDTH
    what = f"“{element.text}”" if element.text else "ground"
    return f"columns {column} to {column + cells - 1}: {what} {said}"
