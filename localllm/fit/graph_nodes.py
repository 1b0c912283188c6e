"""llama.cpp's compute graph as far as its allocator looks at it: results, and what they read.

Source: ggml/src/ggml.c (ggml_visit_parents_graph) and ggml-alloc.c (ggml_op_can_inplace).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from math import prod


class Op(Enum):
    """What a node computes; those that nothing depends on are all OTHER."""

    LEAF = auto()
    VIEW = auto()
    """Another look at a node's bytes; takes nothing."""

    RESHAPE = auto()
    """A view as well; where the order is changed, only a VIEW is part of a pattern."""

    MATMUL = auto()
    MATMUL_ID = auto()
    ROWS = auto()
    SET_ROWS = auto()
    NORM = auto()
    ROPE = auto()
    MUL = auto()
    ADD = auto()
    ADD_ID = auto()
    UNARY = auto()
    SCALE = auto()
    DIV = auto()
    CLAMP = auto()
    SOFTMAX = auto()
    ARGSORT = auto()
    SUM_ROWS = auto()
    ATTENTION = auto()
    CONVOLUTION = auto()
    OTHER = auto()


IN_PLACE = frozenset(
    {Op.NORM, Op.ROPE, Op.MUL, Op.ADD, Op.ADD_ID, Op.UNARY, Op.SCALE, Op.DIV, Op.CLAMP, Op.SOFTMAX}
)
"""May overwrite what they read, if nothing else reads it."""

VIEWS = frozenset({Op.VIEW, Op.RESHAPE})

FLOAT_BYTES = 4
HALF_BYTES = 2
POSITION_BYTES = 4
CELL_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One result. Shape: numbers, fastest first, ones at the end left out."""

    op: Op
    shape: tuple[int, ...]
    sources: tuple[Node, ...] = ()
    viewed: Node | None = None
    """Whose bytes a view shows, itself no view."""

    number_bytes: int = FLOAT_BYTES
    contiguous: bool = True
    place: int | None = None
    """The backend that has it from the start, as weights and caches; None for all others."""

    is_input: bool = False
    is_weight: bool = False
    stored_bytes: int | None = None
    """Of a weight, whose numbers are packed."""

    @property
    def size_bytes(self) -> int:
        if self.stored_bytes is not None:
            return self.stored_bytes
        if self.viewed is not None and not self.contiguous:
            return self.viewed.size_bytes  # from its first number to its last, others between them
        return prod(self.shape) * self.number_bytes

    @property
    def is_view(self) -> bool:
        return self.viewed is not None

    @property
    def root(self) -> Node:
        return self.viewed or self

    @property
    def is_stored(self) -> bool:
        """Whether its bytes are elsewhere from the start: weights, caches, views of them."""
        return self.root.place is not None

    def same_layout(self, other: Node) -> bool:
        return (
            self.shape == other.shape
            and self.number_bytes == other.number_bytes
            and other.contiguous
        )


class Graph:
    """Nodes in the order in which llama.cpp computes them, and leaves in the order it found them."""

    __slots__ = ("_seen", "leaves", "nodes")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []
        self._seen: set[Node] = set()

    def expand(self, node: Node) -> Node:
        """Add a node after all that it reads, unless it is there already."""
        stack = [(node, iter(node.sources))]
        if node in self._seen:
            return node
        self._seen.add(node)
        while stack:
            last, sources = stack[-1]
            source = next((s for s in sources if s not in self._seen), None)
            if source is not None:
                self._seen.add(source)
                stack.append((source, iter(source.sources)))
                continue
            stack.pop()
            (self.leaves if last.op is Op.LEAF else self.nodes).append(last)
        return node


def trimmed(*shape: int) -> tuple[int, ...]:
    """Leave out ones at the end, which ggml does not tell from nothing."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def given(*shape: int, number_bytes: int = FLOAT_BYTES) -> Node:
    """Make an input, which the host fills in before each batch."""
    return Node(Op.LEAF, trimmed(*shape), number_bytes=number_bytes, is_input=True)


def computed(
    op: Op, shape: tuple[int, ...], *sources: Node, number_bytes: int = FLOAT_BYTES
) -> Node:
    """Make a result from what it reads."""
    return Node(op, trimmed(*shape), sources, number_bytes=number_bytes)


def changed(op: Op, source: Node, *others: Node) -> Node:
    """Compute a result of the shape of its first source."""
    return Node(op, source.shape, (source, *others))


def reshaped(source: Node, *shape: int) -> Node:
    """Show all of a node's numbers in another shape."""
    return Node(
        Op.RESHAPE,
        trimmed(*shape),
        (source,),
        viewed=source.root,
        number_bytes=source.number_bytes,
        contiguous=source.contiguous,
    )


def part(source: Node, *shape: int, contiguous: bool = False) -> Node:
    """Show some of a node's numbers, or the same in another order."""
    return Node(
        Op.VIEW,
        trimmed(*shape),
        (source,),
        viewed=source.root,
        number_bytes=source.number_bytes,
        contiguous=contiguous,
        stored_bytes=_shown_bytes(source, shape),
    )


def _shown_bytes(source: Node, shape: tuple[int, ...]) -> int | None:
    """Of packed numbers, the same share of the bytes as of the numbers; None: they are not."""
    if source.stored_bytes is None:
        return None
    return source.stored_bytes * prod(shape) // max(1, prod(source.shape))
