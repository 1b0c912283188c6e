"""Every screen looks as in its picture in tests/tui/snapshots, at every size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.screen_album import drawn_by, left_over, what_differs, write_picture
from tests.fakes.screen_shots import Part, take_pictures
from tests.fakes.screen_svg import Ink, Run, describe_difference, read_lines, render_svg
from tests.fakes.screen_tour import PARTS


@pytest.mark.anyio
@pytest.mark.timeout(120)  # the longest goes through 14 screens
@pytest.mark.parametrize("part", PARTS, ids=str)
async def test_the_screens_look_as_in_their_pictures(part: Part, tmp_path: Path) -> None:
    pictures = await take_pictures(part, tmp_path)

    differ = what_differs(pictures)

    for name in differ:
        write_picture(tmp_path / name, pictures[name])
    if differ:
        pytest.fail(_told(part, differ, tmp_path), pytrace=False)


def _told(part: Part, differ: dict[str, str], folder: Path) -> str:
    return "\n\n".join(
        [
            f"{len(differ)} of {len(part.names)} pictures differ.",
            *differ.values(),
            f"How they look now: {', '.join(str(folder / name) for name in differ)}\n"
            f"If that is meant: scripts/screen_snapshots {part}\n"
            f"(drawn by {drawn_by()})",
        ]
    )


def test_every_picture_is_of_a_screen_that_there_is() -> None:
    assert left_over(PARTS) == [], "scripts/screen_snapshots removes them"


# the pictures themselves

PLAIN, MARKED = Ink("#cccccc", "#000000"), Ink("#00ff00", "#222222", frozenset({"bold"}))
WIDE = [[Run("a <b> & 漢字  c", PLAIN), Run(" ✓ ok", MARKED)], [Run("", PLAIN)]]


def test_a_picture_can_be_read_as_a_person_reads_it() -> None:
    assert read_lines(render_svg(WIDE, 20)) == ["a <b> & 漢字  c ✓ ok", ""]


def test_each_word_stands_in_its_cells_whatever_the_font_is() -> None:
    svg = render_svg(WIDE, 20)

    assert '<text x="80" y="15" textLength="40">漢字</text>' in svg
    assert '<text x="140" y="15" textLength="10">c</text>' in svg
    ink = 'font-weight="bold" fill="#00ff00"'
    assert f'<text x="160" y="15" textLength="10" {ink}>✓</text>' in svg
    assert '<rect x="150" width="50" height="20" fill="#222222"/>' in svg


def test_a_difference_is_told_by_the_lines_that_differ() -> None:
    before, now = (
        [[Run(text, PLAIN)] for text in texts] for texts in (("same", "old"), ("same", "new"))
    )

    told = describe_difference(render_svg(before, 10), render_svg(now, 10))

    assert told.splitlines()[-3:] == [" same", "-old", "+new"]


def test_where_the_colours_alone_differ_it_says_which() -> None:
    rest = [Run("what is usual", PLAIN)]
    before, now = [rest, [Run("a", PLAIN), Run("ready", MARKED)]], [rest, [Run("aready", PLAIN)]]

    told = describe_difference(render_svg(before, 20), render_svg(now, 20))

    assert "line 2: aready" in told
    assert "- columns 2 to 6: “ready” #00ff00 bold" in told
    assert "- columns 2 to 6: ground #222222" in told
    assert "line 1" not in told
