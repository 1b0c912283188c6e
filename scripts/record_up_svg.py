"""A terminal as an SVG: still, or as a film that plays wherever `<img>` shows it. Pure.

No script, no font that is fetched: GitHub's README shows it, and so does any browser. Every piece
of text is told how wide it is (`textLength`), so that it stands in its columns in whatever font is
there; blocks and boxes are shapes.

A film has a strip for each row of the screen: what stood there, side by side, each once, and by
CSS it is shifted so that the one of the moment is in the window. Who wants no motion sees the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from html import escape

from record_up_cells import PAPER, Look, Row, Run, Screen
from record_up_shapes import HEIGHT, SHAPED, WIDTH, number, shape_of
from rich.cells import cell_len

_FONTS = (
    'ui-monospace,SFMono-Regular,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",'
    '"Liberation Mono",monospace'
)
_LETTERS, _BASE = 14, 13.6
"""How high they are, and where in a cell they stand."""

_MARGIN, _BAR, _BOTTOM = 12.0, 32.0, 10.0
_FRAME, _EDGE, _QUIET = "#1a1d27", "#363c4c", "#8089a0"
_BUTTONS = ("#f7768e", "#e0af68", "#9ece6a")
_RULES = (
    f"text{{font:{_LETTERS}px {_FONTS};white-space:pre}}"
    f".t{{font-size:12px;text-anchor:middle;fill:{_QUIET}}}"
    ".l{fill:none;stroke:currentColor;stroke-width:1.2}"
)
_PIECE = re.compile(f"([{re.escape(SHAPED)}])\\1*|[^\\0-\u024f]|[!-\u024f]+(?: [!-\u024f]+)*")
_KEYS = -1
"""The row in which keys are told, above the first."""

_KEY_LOOK = Look("#11131a", "#bb9af7", is_bold=True)
_AS_TEXT = "\ufe0e"
_LIKE_EMOJI = "✖✔▶◀☀⚠"
"""Without a word to the contrary, some systems draw these as coloured pictures."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the screen shows from a moment on; seconds since the film began."""

    at_s: float
    screen: Screen
    keys: str = ""
    """What was pressed last, where the screen does not show it; in the window's bar."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is around the screen.

    Args:
        title: In its bar.
        told: What the picture shows, for those who cannot see it.
    """

    columns: int
    rows: int
    title: str
    told: str

    @property
    def width(self) -> float:
        return self.columns * WIDTH + 2 * _MARGIN

    @property
    def height(self) -> float:
        return self.rows * HEIGHT + _BAR + _BOTTOM


@dataclass(slots=True)
class _Classes:
    """Short names of what is asked for more than once; grows while it is drawn."""

    names: dict[str, str] = field(default_factory=dict[str, str])

    def of(self, rule: str) -> str:
        return self.names.setdefault(rule, f"c{len(self.names)}")

    def render(self) -> str:
        return "".join(f".{name}{{{rule}}}" for rule, name in self.names.items())


def render_still(window: Window, screen: Screen) -> str:
    """Draw one screen."""
    classes = _Classes()
    rows = [
        _at_row(n, drawn) for n, row in enumerate(screen) if (drawn := _row(row, window, classes))
    ]
    return _picture(window, rows, classes.render())


def render_film(window: Window, frames: Sequence[Frame], length_s: float) -> str:
    """Draw all of them, to be seen one after the other, again and again.

    Args:
        length_s: When it begins again; the last frame is seen until then.

    Raises:
        ValueError: There is no frame, or one would begin after the end.
    """
    if not frames or frames[-1].at_s >= length_s:
        raise ValueError("A film needs frames, and time for the last one.")
    classes = _Classes()
    rows: list[str] = []
    rules: list[str] = []
    for n in range(_KEYS, window.rows):
        stops = [(frame.at_s / length_s, _row_of(frame, n, window)) for frame in frames]
        drawn, rule = _strip(f"r{n}", stops, window, classes)
        rows.append(_at_row(n, drawn))
        rules.append(rule)
    motion = f"[id^=r]{{animation:{number(length_s)}s step-end infinite}}"
    still = "@media(prefers-reduced-motion:reduce){[id^=r]{animation:none!important}}"
    return _picture(window, rows, classes.render() + motion + "".join(rules) + still)


def shorten(frames: Sequence[Frame], longest_s: float) -> list[Frame]:
    """Leave out frames that change nothing, and let no other stand longer than that."""
    kept: list[Frame] = []
    at_s = last_s = 0.0
    for frame in frames:
        if kept and (frame.screen, frame.keys) == (kept[-1].screen, kept[-1].keys):
            continue
        at_s += min(frame.at_s - last_s, longest_s) if kept else 0.0
        last_s = frame.at_s
        kept.append(replace(frame, at_s=at_s))
    return kept


def _strip(
    name: str, stops: Sequence[tuple[float, Row]], window: Window, classes: _Classes
) -> tuple[str, str]:
    """Draw all that a row ever shows, side by side, and the rule by which it is shifted."""
    places: dict[Row, int] = {}
    moves: list[tuple[float, int]] = []
    for share, row in stops:
        place = places.setdefault(row, len(places))
        if not moves or moves[-1][1] != place:
            moves.append((share, place))
    pitch = window.width
    drawn = "".join(
        f'<g transform="translate({number(place * pitch)})">{inner}</g>' if place else inner
        for row, place in places.items()
        if (inner := _row(row, window, classes))
    )
    if len(moves) == 1:
        return drawn, ""
    keys = "".join(f"{_percent(share)}{{{_shift(place, pitch)}}}" for share, place in moves)
    rule = (
        f"#{name}{{{_shift(moves[-1][1], pitch)};animation-name:{name}}}@keyframes {name}{{{keys}}}"
    )
    return f'<g id="{name}">{drawn}</g>', rule


def _shift(place: int, pitch: float) -> str:
    return f"transform:translate({number(-place * pitch)}px)" if place else "transform:none"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _row_of(frame: Frame, row: int, window: Window) -> Row:
    if row != _KEYS:
        return frame.screen[row]
    text, columns = f" {frame.keys} ", cell_len(frame.keys) + 2
    return (Run(window.columns - columns - 1, columns, text, _KEY_LOOK),) if frame.keys else ()


def _at_row(row: int, drawn: str) -> str:
    y = _BAR + row * HEIGHT if row != _KEYS else (_BAR - HEIGHT) / 2
    return f'<g transform="translate({number(_MARGIN)} {number(y)})">{drawn}</g>'


def _row(row: Row, window: Window, classes: _Classes) -> str:
    wide: Counter[str] = Counter()
    for run in row:
        wide[run.look.paper] += run.columns
    papers = (
        _paper(run, window, classes, is_alone=wide[run.look.paper] == 1)
        for run in row
        if run.look.paper != PAPER
    )
    return "".join(papers) + "".join(_inks(row, classes))


def _paper(run: Run, window: Window, classes: _Classes, *, is_alone: bool) -> str:
    """Draw what is behind it; at the sides, up to the window's, unless it is a cursor's cell."""
    begin, end = run.column * WIDTH, (run.column + run.columns) * WIDTH
    if not is_alone:
        begin -= _MARGIN if run.column == 0 else 0
        end += _MARGIN if run.column + run.columns == window.columns else 0
    name = classes.of(f"fill:{run.look.paper}")
    x, width = number(begin), number(end - begin)
    return f'<path class="{name}" shape-rendering="crispEdges" d="M{x} 0h{width}v{number(HEIGHT)}h-{width}z"/>'


def _inks(row: Row, classes: _Classes) -> Iterator[str]:
    for run in row:
        drawn = "".join(_pieces(run))
        if drawn:
            yield f'<g class="{classes.of(_ink(run.look))}">{drawn}</g>'


def _ink(look: Look) -> str:
    rule = f"fill:{look.ink};color:{look.ink}"  # a line is drawn with the latter
    rule += ";font-weight:700" * look.is_bold + ";font-style:italic" * look.is_italic
    return rule + ";text-decoration:underline" * look.is_underlined


def _pieces(run: Run) -> Iterator[str]:
    """Draw words and shapes where they stand; spaces only inside of a text."""
    for column, text in split(run.text):
        x = (run.column + column) * WIDTH
        shape = shape_of(text[0])
        yield _text(x, text) if shape is None else shape(x, len(text))


def split(text: str) -> Iterator[tuple[int, str]]:
    """Take text apart into words, and what has a shape, and signs that fonts disagree on.

    Yields:
        The column, and what stands there.

    >>> list(split("a b  c██▁✖"))
    [(0, 'a b'), (5, 'c'), (6, '██'), (8, '▁'), (9, '✖')]
    """
    for found in _PIECE.finditer(text):
        yield cell_len(text[: found.start()]), found.group()


def _text(x: float, text: str) -> str:
    width = number(cell_len(text) * WIDTH)
    said = escape(f"{text}{_AS_TEXT}" if text in _LIKE_EMOJI else text, quote=False)
    alone = ' lengthAdjust="spacingAndGlyphs"' if len(text) == 1 and not text.isascii() else ""
    return f'<text x="{number(x)}" y="{_BASE}" textLength="{width}"{alone}>{said}</text>'


def _picture(window: Window, rows: Iterable[str], rules: str) -> str:
    """Put a window around it."""
    width, height, told = number(window.width), number(window.height), escape(window.told)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{told}">',
            f"<title>{told}</title>",
            f"<style>{_RULES}{rules}</style>",
            _around(window),
            *rows,
            f'<rect {_outline(window)} fill="none" stroke="{_EDGE}"/>',
            "</svg>",
            "",
        )
    )


def _around(window: Window) -> str:
    width, top = window.width - 1, number(_BAR)
    buttons = "".join(
        f'<circle cx="{18 + 19 * n}" cy="16" r="5.5" fill="{colour}"/>'
        for n, colour in enumerate(_BUTTONS)
    )
    return (
        f'<rect {_outline(window)} fill="{PAPER}"/>'
        f'<path d="M.5 {top}V9.5a9 9 0 0 1 9-9H{number(width - 8.5)}a9 9 0 0 1 9 9'
        f'V{top}z" fill="{_FRAME}"/>'
        f'{buttons}<text x="{number(window.width / 2)}" y="20" class="t">{escape(window.title)}</text>'
    )


def _outline(window: Window) -> str:
    width, height = number(window.width - 1), number(window.height - 1)
    return f'x=".5" y=".5" width="{width}" height="{height}" rx="9"'
