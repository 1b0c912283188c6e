"""Themes: what is read can be read."""

from __future__ import annotations

import pytest
from textual.color import Color

from localllm.tui.themes import CONTRAST, THEMES

GROUNDS = ("background", "surface", "panel")
CURSORS = ("block-cursor-background", "block-cursor-blurred-background")
INKS = ("primary", "secondary", "accent", "success", "warning", "error", "foreground-muted")


def colours(name: str) -> dict[str, Color]:
    theme = next(theme for theme in THEMES if theme.name == name)
    generated = theme.to_color_system().generate()
    return {
        name: Color.parse(generated[name]) for name in ("foreground", *INKS, *GROUNDS, *CURSORS)
    }


def contrast(one: Color, other: Color) -> float:
    """From 1 to 21, as WCAG 2 has it."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("ground", [*GROUNDS, *CURSORS])
@pytest.mark.parametrize("ink", ["foreground", *INKS])
def test_with_high_contrast_all_that_is_read_stands_out_seven_to_one(ink, ground) -> None:
    found = colours(CONTRAST)

    assert contrast(found[ground], found[ground] + found[ink]) >= 7


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
@pytest.mark.parametrize("ink", ["foreground", "primary", "secondary", "warning", "error"])
def test_the_row_that_keys_are_about_leaves_its_text_and_bars_to_be_seen(theme, ink) -> None:
    found = colours(theme)

    assert contrast(found[CURSORS[0]], found[ink]) >= 3


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
def test_no_two_pieces_of_a_bar_have_the_same_colour(theme) -> None:
    found = colours(theme)

    assert len({found[ink].hex for ink in ("primary", "secondary", "accent", "warning")}) == 4
