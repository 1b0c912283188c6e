"""A cache that all slots share, as llama.cpp's is: what a request needs of it, and who leaves for it. Pure.

Where its cells run out, llama.cpp empties an idle slot by itself, and tells nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.outline import BYTES_PER_TOKEN, Outline

_FEWEST_BYTES_PER_TOKEN = 3
"""Of code and of many languages; whoever leaves without need is put back from disk."""

_ANSWER_TOKENS = 1024
"""More than most answers have."""

_STILL_THERE = 0.9


def cells_needed(wanted: Outline, put_back: Entry | None = None) -> int:
    """Bound what a prompt and its answer take.

    Args:
        put_back: What is put into the slot before, longer than the prompt or not.
    """
    read_bytes, there = wanted.size_bytes, 0
    if put_back is not None:
        read_bytes -= put_back.outline.common_bytes(wanted)
        there = put_back.tokens
    return there + read_bytes // _FEWEST_BYTES_PER_TOKEN + _ANSWER_TOKENS


def is_crowded(holdings: Sequence[Holding], needed: int, cells: int) -> bool:
    """Tell whether all that is held, and one request more, may be too much."""
    return sum(map(_taken, holdings)) + needed > cells


def choose_leaving(
    holdings: Sequence[Holding], slot: int, needed: int, cells: int
) -> Sequence[Holding]:
    """Choose who makes room for a slot: those that were unused for longest, and none that is at work."""
    others = [one for one in holdings if one.slot != slot]
    over = sum(map(_taken, others)) + needed - cells
    leaving: list[Holding] = []
    idle = [one for one in others if not one.is_busy and _taken(one)]
    for one in sorted(idle, key=lambda one: one.used_at):
        if over <= 0:
            break
        leaving.append(one)
        over -= _taken(one)
    return leaving


def find_emptied(holdings: Sequence[Holding], held_tokens: Mapping[int, int]) -> Sequence[int]:
    """Find the idle slots that hold less than we thought.

    Args:
        held_tokens: By slot, as the engine says; one that it does not name holds nothing.
    """
    return [
        one.slot
        for one in holdings
        if not one.is_busy and held_tokens.get(one.slot, 0) < _STILL_THERE * one.tokens
    ]


def _taken(one: Holding) -> int:
    """The cells that a slot takes; of what broke off at most its whole prompt."""
    return one.tokens or (0 if one.outline is None else one.outline.size_bytes // BYTES_PER_TOKEN)
