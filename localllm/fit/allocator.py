"""How llama.cpp lays out what its graph computes, replayed: how large does the buffer get?

Source: ggml/src/ggml-alloc.c, ggml_dyn_tallocr_alloc and ggml_dyn_tallocr_free_bytes.
"""

from __future__ import annotations

from typing import NamedTuple


class Block(NamedTuple):
    """A piece of the buffer."""

    at: int
    size: int


class Pool:
    """A buffer of unknown size: takes the tightest hole, and grows where there is none.

    `peak` is the size that the buffer must have had.
    """

    __slots__ = ("_alignment", "_holes", "_top", "peak")

    def __init__(self, alignment: int) -> None:
        self._alignment = alignment
        self._holes: list[Block] = []
        self._top = 0
        self.peak = 0

    def take(self, size: int) -> Block:
        size = -(-size // self._alignment) * self._alignment
        fitting = [hole for hole in self._holes if hole.size >= size]
        if not fitting:
            block = Block(self._top, size)
            self._top += size
            self.peak = max(self.peak, self._top)
            return block
        hole = min(fitting, key=lambda hole: (hole.size, -hole.at))
        self._holes.remove(hole)
        if hole.size > size:
            self._holes.append(Block(hole.at + size, hole.size - size))
        return Block(hole.at, size)

    def shrink(self, block: Block, size: int) -> Block:
        """Free what of a block is beyond a size, which is at most the block's own."""
        kept = Block(block.at, -(-size // self._alignment) * self._alignment)
        if kept.size < block.size:
            self.give(Block(block.at + kept.size, block.size - kept.size))
        return kept

    def give(self, block: Block) -> None:
        """Free a block; it becomes one hole with its free neighbours."""
        at, end = block.at, block.at + block.size
        for hole in [h for h in self._holes if h.at + h.size == at or h.at == end]:
            self._holes.remove(hole)
            at, end = min(at, hole.at), max(end, hole.at + hole.size)
        if end == self._top:
            self._top = at
        else:
            self._holes.append(Block(at, end - at))
