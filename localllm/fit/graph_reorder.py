"""The order in which the Vulkan backend computes: what does not wait for each other, together.

Source: ggml/src/ggml-vulkan/ggml-vulkan.cpp, ggml_vk_graph_optimize, of October 2026. CUDA keeps
llama.cpp's order unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from localllm.fit.graph_nodes import VIEWS, Node, Op

AHEAD = 20
NEAR = 15
"""So many nodes are looked at in search of what may be done earlier."""

_ROUTED = (Op.RESHAPE, Op.SUM_ROWS, Op.CLAMP, Op.DIV, Op.RESHAPE)
TOGETHER = (
    (Op.SOFTMAX, Op.RESHAPE, Op.ARGSORT, Op.VIEW, Op.ROWS, *_ROUTED),
    (Op.UNARY, Op.RESHAPE, Op.ADD, Op.ARGSORT, Op.VIEW, Op.ROWS, *_ROUTED),
    (Op.SOFTMAX, Op.RESHAPE, Op.ARGSORT, Op.VIEW, Op.ROWS),
    (Op.ARGSORT, Op.VIEW, Op.ROWS, Op.RESHAPE, Op.SOFTMAX, Op.RESHAPE),
    (Op.NORM, Op.MUL, Op.ADD, Op.MUL),
    (Op.NORM, Op.MUL, Op.ADD),
    (Op.NORM, Op.MUL, Op.ROPE, Op.VIEW, Op.SET_ROWS),
    (Op.NORM, Op.VIEW, Op.SET_ROWS),
    (Op.ROPE, Op.VIEW, Op.SET_ROWS),
)
"""Runs that are computed as one, and so stay as they are."""

FUSED = frozenset(
    {
        (Op.MATMUL, Op.ADD),
        (Op.MATMUL_ID, Op.ADD_ID),
        (Op.MATMUL_ID, Op.MUL),
        (Op.ADD, Op.ADD),
        (Op.CONVOLUTION, Op.ADD),
        (Op.CONVOLUTION, Op.UNARY),
    }
)
FOLLOWED = {
    (Op.ADD_ID, Op.MATMUL_ID): Op.MUL,
    (Op.ADD, Op.MATMUL): Op.ADD,
    (Op.ADD, Op.CONVOLUTION): Op.UNARY,
}
"""What is pulled along after a node and the one before it."""


def vulkan_order(nodes: Sequence[Node]) -> Sequence[Node]:
    """The order of builds of autumn 2026."""
    return _Order(nodes, gates=True).found()


def vulkan_order_before_gates(nodes: Sequence[Node]) -> Sequence[Node]:
    """Builds that did not yet compute an activation and a product as one: b10434."""
    return _Order(nodes, gates=False).found()


class _Order:
    __slots__ = ("_done", "_first", "_gates", "_nodes", "_order", "_used")

    def __init__(self, nodes: Sequence[Node], *, gates: bool) -> None:
        self._gates = gates
        self._nodes = nodes
        self._used = [False] * len(nodes)
        self._order: list[Node] = []
        self._done: set[Node] = set()
        self._first = 0

    def found(self) -> list[Node]:
        while self._first < len(self._nodes):
            run = next((p for p in TOGETHER if self._matches(p, self._first)), None)
            if run is not None:
                self._take(range(self._first, self._first + len(run)))
            else:
                self._take(self._with_views(self._batch()))
        return self._order

    def _take(self, indices: Sequence[int]) -> None:
        for i in indices:
            self._order.append(self._nodes[i])
            self._done.add(self._nodes[i])
            self._used[i] = True
        while self._first < len(self._nodes) and self._used[self._first]:
            self._first += 1

    def _matches(self, pattern: Sequence[Op], start: int) -> bool:
        if start + len(pattern) > len(self._nodes):
            return False
        return all(
            self._nodes[start + j].op is op and not self._used[start + j]
            for j, op in enumerate(pattern)
        )

    def _near(self, start: int, reach: int) -> range:
        return range(start + 1, min(start + reach, len(self._nodes)))

    def _batch(self) -> list[int]:
        """The first node that is left, and all near it that need nothing that is left."""
        batch = [self._first]
        for j in self._near(self._first, AHEAD):
            if self._used[j] or self._nodes[j].op in VIEWS:
                continue
            if any(self._matches(p, j) for p in TOGETHER) or not self._is_ready(j, batch):
                continue
            batch.append(j)
            self._pull(j, batch)
        return batch

    def _is_ready(self, j: int, batch: list[int]) -> bool:
        return not any(
            not self._used[c]
            and _reads(self._nodes[j], self._nodes[c])
            and not self._fuses(c, j, batch)
            for c in range(self._first, j)
        )

    def _fuses(self, c: int, j: int, batch: list[int]) -> bool:
        """Whether a node and what it waits for are computed as one."""
        if c != batch[-1]:
            return False
        before, after = self._nodes[c].op, self._nodes[j].op
        if before is Op.UNARY and not self._gates:
            return False
        if before in (Op.NORM, Op.UNARY) and after is Op.MUL:
            return all(self._used[v] or self._nodes[v].op in VIEWS for v in range(c + 1, j))
        return j == c + 1 and (before, after) in FUSED

    def _pull(self, j: int, batch: list[int]) -> None:
        """Take along what is computed together with a node that was just taken."""
        node, before, turned = self._nodes[j], self._nodes[j - 1], j
        if node.op is Op.MUL and before.op is Op.NORM:
            rope = next((k for k in self._near(j, NEAR) if self._turns(k, node)), None)
            if rope is not None:
                turned = rope
                self._pulled(rope, batch)
        if self._nodes[turned].op in (Op.ROPE, Op.NORM):
            self._pull_writing(turned, batch)
        follower = FOLLOWED.get((node.op, before.op))
        if follower is not None:
            self._pull_follower(j, follower, batch)
        if node.op is Op.UNARY and self._gates:
            self._pull_product(j, batch)

    def _pulled(self, k: int, batch: list[int]) -> None:
        batch.append(k)
        self._used[k] = True

    def _turns(self, k: int, node: Node) -> bool:
        rope = self._nodes[k]
        return (
            rope.op is Op.ROPE
            and rope.sources[0] is node
            and all(s.op is Op.LEAF for s in rope.sources[1:])
        )

    def _pull_writing(self, turned: int, batch: list[int]) -> None:
        """Keys are written to the cache by what turns them."""
        view = None
        for k in self._near(turned, NEAR):
            node = self._nodes[k]
            if self._used[k]:
                continue
            if view is None and node.op is Op.VIEW and node.sources[0] is self._nodes[turned]:
                view = k
            elif (
                view is not None and node.op is Op.SET_ROWS and node.sources[0] is self._nodes[view]
            ):
                between = (c for c in range(turned + 1, k) if not self._used[c] and c != view)
                if not any(_reads(node, self._nodes[c]) for c in between):
                    self._pulled(view, batch)
                    self._pulled(k, batch)
                return

    def _pull_follower(self, j: int, op: Op, batch: list[int]) -> None:
        for k in self._near(j, NEAR):
            node = self._nodes[k]
            if node.op is not op or node.sources[0] is not self._nodes[j]:
                continue
            if all(self._is_there(other) for other in node.sources[1:2]):
                self._pulled(k, batch)
                return

    def _pull_product(self, j: int, batch: list[int]) -> None:
        for k in self._near(j, NEAR):
            node = self._nodes[k]
            if node.op is not Op.MUL or self._nodes[j] not in node.sources:
                continue
            other = node.sources[1] if node.sources[0] is self._nodes[j] else node.sources[0]
            if self._is_there(other) and other.shape == self._nodes[j].shape:
                self._pulled(k, batch)
                return

    def _is_there(self, node: Node) -> bool:
        return node.op is Op.LEAF or node in self._done

    def _with_views(self, batch: list[int]) -> list[int]:
        """Add the views of what was taken."""
        if self._nodes[batch[-1]].op is Op.ADD:
            return batch
        for j in self._near(self._first, AHEAD):
            if self._used[j] or self._nodes[j].op not in VIEWS or j in batch:
                continue
            left = (c for c in range(self._first, j) if not self._used[c] and c not in batch)
            if not any(_reads(self._nodes[j], self._nodes[c]) for c in left):
                batch.append(j)
        return batch


def _reads(node: Node, source: Node) -> bool:
    """Whether a node must wait for another: it reads it, or they share bytes."""
    if source in node.sources or node.root is source.root:
        return True
    if node.op in VIEWS or source.op in VIEWS:
        return False
    return any(s.root is source.root for s in node.sources) or any(
        s.root is node.root for s in source.sources
    )
