"""Memory as a bar."""

from __future__ import annotations

import click
import pytest

from localllm.cli.bars import Look, bar, can_show_blocks, legend
from localllm.wording.takes import Takes

GIB = 1 << 30
BLOCKS, PLAIN, COLORED = Look(color=False), Look(color=False, blocks=False), Look(color=True)


def takes(weights: int, cache: int, other: int, usable: int = 10) -> Takes:
    """In GiB."""
    return Takes(weights * GIB, cache * GIB, other * GIB, usable * GIB)


@pytest.mark.parametrize(
    ("taken", "drawn"),
    [
        (takes(4, 2, 1), "████▓▓▒···"),
        (takes(10, 0, 0), "██████████"),
        (takes(9, 2, 1), "█████████!"),
        (takes(40, 2, 1), "█████████!"),
        (takes(0, 0, 0), "··········"),
        (takes(4, 2, 1, usable=0), "!         "),
        (None, "-"),
    ],
)
def test_each_part_has_its_share_what_is_free_stays_and_what_is_too_much_is_marked(
    taken: Takes | None, drawn: str
) -> None:
    assert bar(taken, width=10, look=BLOCKS) == drawn


def test_a_terminal_without_block_characters_gets_plain_ones() -> None:
    assert bar(takes(4, 2, 1), width=10, look=PLAIN) == "####==+..."
    assert legend(PLAIN) == "# weights  = KV cache  + buffers  . free  ! too big"
    assert legend(PLAIN).isascii()


def test_colours_take_no_columns_and_say_nothing_of_their_own() -> None:
    colored = bar(takes(9, 2, 1), width=10, look=COLORED)

    assert click.unstyle(colored) == bar(takes(9, 2, 1), width=10, look=BLOCKS)
    assert click.style("█" * 9, fg="blue") in colored
    assert click.unstyle(legend(COLORED)) == legend(BLOCKS)


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("UTF-8", True), ("ascii", False), ("latin-1", False), ("no-such", False)],
)
def test_only_an_encoding_that_has_the_blocks_can_show_them(encoding: str, can: bool) -> None:
    assert can_show_blocks(encoding) is can
