"""ggml's graph allocator replayed: how large each backend's buffer must be.

Source: ggml/src/ggml-alloc.c, ggml_gallocr_alloc_graph_impl.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from localllm.fit.allocator import Block, Pool
from localllm.fit.graph_nodes import IN_PLACE, Node


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the order of computation, and the backend whose buffer it is in."""

    node: Node
    place: int
    reads: tuple[Node, ...]
    """What it reads there; copies in place of what is on another backend."""

    keeps: bool = True
    """False where it only stands for reading: its result is never looked at."""


def buffer_bytes(
    steps: Sequence[Step],
    leaves: Sequence[tuple[Node, int]],
    pinned: frozenset[Node],
    alignments: Sequence[int],
) -> tuple[int, ...]:
    """Peak of each backend's buffer.

    Args:
        leaves: Inputs, each with its backend, in the order in which they are laid out.
        pinned: What may not be overwritten, nor freed: inputs of pipelines.
        alignments: Bytes, of each backend.
    """
    replay = _Replay(pinned, alignments)
    for leaf, place in leaves:
        replay.take(leaf, place, ())
    for step in steps:
        replay.count(step)
    for step in steps:
        for read in step.reads:
            replay.take(read, step.place, ())
        replay.take(step.node, step.place, step.reads)
        for read in step.reads:
            replay.release(read)
    return tuple(pool.peak for pool in replay.pools)


class _Replay:
    __slots__ = ("_blocks", "_children", "_owned", "_pinned", "_views", "pools")

    def __init__(self, pinned: frozenset[Node], alignments: Sequence[int]) -> None:
        self.pools = [Pool(a) for a in alignments]
        self._pinned = pinned
        self._blocks: dict[Node, tuple[Block, int]] = {}
        self._owned: set[Node] = set()
        self._children: defaultdict[Node, int] = defaultdict(int)
        self._views: defaultdict[Node, int] = defaultdict(int)

    def count(self, step: Step) -> None:
        if step.node.viewed is not None and step.keeps:
            self._views[step.node.viewed] += 1
        if step.node in self._pinned:
            self.take(step.node, step.place, ())
        for read in step.reads:
            self._children[read] += 1
            if read.is_input or read in self._pinned:
                self.take(read, step.place, ())

    def take(self, node: Node, place: int, reads: tuple[Node, ...]) -> None:
        if node in self._owned or node.is_stored or node.is_view:
            return
        self._owned.add(node)
        if node.op in IN_PLACE and any(self._took_over(node, read) for read in reads):
            return
        self._blocks[node] = self.pools[place].take(node.size_bytes), place

    def _took_over(self, node: Node, read: Node) -> bool:
        """Write over a source that nobody reads any more; never through a view."""
        if read not in self._owned or read in self._pinned:
            return False
        if not node.same_layout(read) or self._children[read] != 1 or self._views[read]:
            return False
        self._owned.remove(read)
        block, place = self._blocks.pop(read)
        self._blocks[node] = self.pools[place].shrink(block, node.size_bytes), place
        return True

    def release(self, read: Node) -> None:
        self._children[read] -= 1
        if self._children[read] or self._views[read]:
            return
        root = read.root
        if read.is_view:
            self._views[root] -= 1
            if self._views[root] or self._children[root]:
                return
        if root in self._owned and root not in self._pinned:
            block, place = self._blocks.pop(root)
            self.pools[place].give(block)
            self._owned.remove(root)
