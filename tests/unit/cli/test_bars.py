"""Memory as a bar."""

from __future__ import annotations

import click
import pytest

from localllm.api.views import MemoryView
from localllm.cli.bars import Look, bar, can_show_blocks, legend

GIB = 1 << 30
BLOCKS, PLAIN, COLORED = Look(color=False), Look(color=False, blocks=False), Look(color=True)


def a_memory(weights: int, kv_cache: int, compute: int, **more: int) -> MemoryView:
    """In GiB."""
    parts = {**more, "weights": weights, "kv_cache": kv_cache, "compute": compute}
    in_bytes = {name: parts.get(name, 0) * GIB for name in MemoryView.__struct_fields__}
    return MemoryView(**{**in_bytes, "total": sum(in_bytes.values())})


@pytest.mark.parametrize(
    ("memory", "of_gib", "drawn"),
    [
        (a_memory(4, 2, 1), 10, "████▓▓▒···"),
        (a_memory(4, 1, 1, recurrent_state=1), 10, "████▓▓▒···"),
        (a_memory(4, 2, 1, projector=1, overhead=1, output=1), 10, "████▓▓▒▒▒▒"),
        (a_memory(10, 0, 0), 10, "██████████"),
        (a_memory(9, 2, 1), 10, "█████████▓!"),
        (a_memory(40, 2, 1), 10, "██████████!"),
        (a_memory(0, 0, 0), 10, "··········"),
        (a_memory(4, 2, 1), 0, "!"),
    ],
)
def test_each_part_has_its_share_what_is_free_stays_and_what_is_too_much_is_marked(
    memory: MemoryView, of_gib: int, drawn: str
) -> None:
    assert bar(memory, of_gib * GIB, width=10, look=BLOCKS) == drawn


def test_a_terminal_without_block_characters_gets_plain_ones() -> None:
    assert bar(a_memory(4, 2, 1), 10 * GIB, width=10, look=PLAIN) == "####==+..."
    assert legend(PLAIN) == "# weights  = KV cache  + buffers  . free  ! too big"
    assert legend(PLAIN).isascii()


def test_colours_take_no_columns_and_say_nothing_of_their_own() -> None:
    colored = bar(a_memory(9, 2, 1), 10 * GIB, width=10, look=COLORED)

    assert click.unstyle(colored) == bar(a_memory(9, 2, 1), 10 * GIB, width=10, look=BLOCKS)
    assert click.style("█" * 9, fg="blue") in colored
    assert click.unstyle(legend(COLORED)) == legend(BLOCKS)


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("UTF-8", True), ("ascii", False), ("latin-1", False), ("no-such", False)],
)
def test_only_an_encoding_that_has_the_blocks_can_show_them(encoding: str, can: bool) -> None:
    assert can_show_blocks(encoding) is can
