"""Columns of text."""

from __future__ import annotations

import click
import pytest

from localllm.cli.tables import table


def test_words_go_to_the_left_figures_to_the_right_and_no_line_ends_in_blanks() -> None:
    rows = [
        ["device", "name", "total"],
        ["cuda:0", "13th Gen Intel", "24.0 GiB"],
        ["cpu", "01-ai", "512 MiB"],
        ["", "a", "-"],
    ]

    assert table(rows) == [
        "device  name            total",
        "cuda:0  13th Gen Intel  24.0 GiB",
        "cpu     01-ai            512 MiB",
        "        a               -",
    ]


def test_a_cell_in_colour_takes_as_many_columns_as_one_without() -> None:
    plain = [["verdict", "total"], ["fits", "1.0 GiB"], ["too big", "24.0 GiB"]]
    colored = [plain[0], [click.style("fits", fg="green"), plain[1][1]], plain[2]]

    assert [click.unstyle(line) for line in table(colored)] == table(plain)


@pytest.mark.parametrize(
    ("text", "is_figure"),
    [
        ("28 to 37 tok/s", True),
        ("0.0282", True),
        ("31/31", True),
        ("Q4_K_M", False),
        ("8bit", False),
    ],
)
def test_what_starts_with_a_figure_of_its_own_is_one(text: str, is_figure: bool) -> None:
    assert table([["a rather wide title"], [text]])[1].startswith(" ") is is_figure
