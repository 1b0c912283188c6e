"""The pictures of the README: what a terminal shows is drawn in its place, and at its time."""

from __future__ import annotations

import asyncio
import importlib
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture
def cells() -> Any:
    return importlib.import_module("record_up_cells")


@pytest.fixture
def svg() -> Any:
    return importlib.import_module("record_up_svg")


@pytest.fixture
def window(svg: Any) -> Any:
    return svg.Window(10, 2, "a title", "what it <shows>")


@pytest.fixture
def film(svg: Any, cells: Any, window: Any) -> Any:
    """Render screens that begin at these seconds, as a film of ten."""

    def render(*frames: tuple[float, list[str]]) -> str:
        return svg.render_film(
            window, [svg.Frame(at, cells.read_ansi(lines)) for at, lines in frames], 10.0
        )

    return render


def texts(element: ET.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def strip(picture: str, row: int) -> dict[str, str]:
    """What a row of a film ever shows: the first text there, by how it is shifted to be seen."""
    found = ET.fromstring(picture).find(f".//*[@id='r{row}']")
    assert found is not None
    places = {"none": ""}
    for one in found:
        shift = one.get("transform", "")
        where = re.sub(r"translate\((.*)\)", r"translate(-\1px)", shift) or "none"
        places[where] = (texts(one) or [places.get(where, "")])[0]
    return places


def seen(picture: str, row: int) -> list[tuple[str, str]]:
    """When what is seen in a row."""
    places = strip(picture, row)
    (keys,) = re.findall(rf"@keyframes r{row}{{((?:[\d.]+%{{[^}}]*}})*)}}", picture)
    stops = re.findall(r"([\d.]+%){transform:([^}]*)}", keys)
    return [(when, places.get(shift, "")) for when, shift in stops]


def test_text_is_told_to_be_as_wide_as_its_columns_whatever_the_font(svg, cells, window) -> None:
    picture = svg.render_still(window, cells.read_ansi(["ab  cde", ""]))

    drawn = ET.fromstring(picture).findall(f".//{SVG}text[@textLength]")

    assert [(t.text, t.get("x"), t.get("textLength")) for t in drawn] == [
        ("ab", "0", "16.8"),
        ("cde", "33.6", "25.2"),
    ]


def test_colours_are_those_that_the_terminal_was_told(cells) -> None:
    (row,) = cells.read_ansi(["\x1b[1;38;2;1;2;3mx\x1b[0m\x1b[7my\x1b[0m\x1b[32mz"])

    assert [(r.text, r.look.ink, r.look.paper, r.look.is_bold) for r in row] == [
        ("x", "#010203", cells.PAPER, True),
        ("y", cells.PAPER, cells.INK, False),
        ("z", "#9ece6a", cells.PAPER, False),
    ]


def test_the_cursor_stands_on_what_is_below_it_and_after_the_end_of_a_line(cells) -> None:
    screen = cells.read_ansi(["abc", "$"])

    first, second = cells.with_cursor(screen, 1, 0)[0], cells.with_cursor(screen, 1, 1)[1]

    assert [(r.text, r.column, r.look.paper) for r in first] == [
        ("a", 0, cells.PAPER),
        ("b", 1, cells.INK),
        ("c", 2, cells.PAPER),
    ]
    assert [(r.text, r.column, r.look.paper) for r in second] == [
        ("$", 0, cells.PAPER),
        (" ", 1, cells.INK),
    ]


@pytest.mark.parametrize(
    ("line", "begins"), [("\x1b[41m a\x1b[1mb", "-12"), ("\x1b[41m \x1b[0ma", "0")]
)
def test_a_ground_reaches_the_side_of_the_window_and_a_cursor_does_not(
    svg, cells, window, line: str, begins: str
) -> None:
    picture = svg.render_still(window, cells.read_ansi([line, ""]))

    assert f'd="M{begins} 0h' in picture


def test_blocks_and_boxes_are_shapes_since_fonts_leave_gaps(svg, cells, window) -> None:
    picture = svg.render_still(window, cells.read_ansi(["██▁▓─╭ x", ""]))

    drawn = ET.fromstring(picture)

    assert [t.text for t in drawn.findall(f".//{SVG}text[@textLength]")] == ["x"]
    assert picture.count("<path") == 1 + 5, "the window's bar; the two full blocks are one"


def test_a_picture_fetches_nothing_and_runs_nothing(svg, cells, window, film) -> None:
    still = svg.render_still(window, cells.read_ansi(["<script>&", "a"]))

    for picture in (still, film((0, ["<script>&", "a"]), (1, ["b", "c"]))):
        assert picture.count("http") == 1, "the name of SVG itself"
        assert not re.search(r"<script|url\(|@import|<image", picture)
        assert "<script>&" in texts(ET.fromstring(picture))


def test_a_film_shows_each_row_when_it_was_seen_and_draws_it_once(film) -> None:
    picture = film(
        (0, ["one", "same"]), (2.5, ["two", "same"]), (5, ["one", "same"]), (7, ["", "same"])
    )

    assert seen(picture, 0) == [("0%", "one"), ("25%", "two"), ("50%", "one"), ("70%", "")]
    assert texts(ET.fromstring(picture)).count("one") == 1
    assert "@keyframes r1" not in picture, "a row that does not change does not move"


def test_keys_are_told_while_the_screen_does_not_show_them(svg, window) -> None:
    frames = [svg.Frame(at, ((), ()), keys) for at, keys in ((0, ""), (3, "s"), (5, "esc"))]

    picture = svg.render_film(window, svg.shorten(frames, 9), 10.0)

    assert seen(picture, -1) == [("0%", ""), ("30%", "s"), ("50%", "esc")]


def test_who_wants_no_motion_sees_the_last_frame(film) -> None:
    picture = film((0, ["one", ""]), (2, ["two", ""]), (4, ["the end", ""]))

    (base,) = re.findall(r"#r0{transform:([^;}]*)", picture)

    assert strip(picture, 0)[base] == "the end"
    assert "@media(prefers-reduced-motion:reduce){[id^=r]{animation:none!important}}" in picture


def test_a_film_without_time_for_its_last_frame_is_refused(film) -> None:
    with pytest.raises(ValueError, match="last one"):
        film((0, ["one", ""]), (10, ["two", ""]))


def test_waits_are_shortened_and_what_changes_nothing_is_left_out(svg) -> None:
    a, b, c = ((),), ((), ()), ((), (), ())
    frames = [svg.Frame(*one) for one in ((0, a), (1, a), (9, b), (9.5, c), (10, c), (30, a))]

    assert svg.shorten(frames, 2.0) == [
        svg.Frame(*one) for one in ((0.0, a), (2.0, b), (2.5, c), (4.5, a))
    ]


def test_the_picture_of_the_dashboard_is_the_same_each_time_and_cuts_nothing_off() -> None:
    dashboard = importlib.import_module("record_up_dashboard")

    first, second = (asyncio.run(dashboard.draw_dashboard()) for _ in range(2))

    assert first == second
    shown = "\n".join("".join(run.text for run in row) for row in first)
    assert all(text in shown for text in ("RTX 5090", "qwen3.6-27b", "pinned", "claude-cli"))
    assert "…" not in shown
