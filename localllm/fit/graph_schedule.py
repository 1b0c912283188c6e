"""Which backend computes what, and what is copied between them, as llama.cpp's scheduler decides.

Source: ggml/src/ggml-backend.cpp, ggml_backend_sched_split_graph. Every backend is taken to
support every operation, as those of llama.cpp do for the models here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from localllm.fit.graph_memory import Step
from localllm.fit.graph_nodes import VIEWS, Graph, Node, Op

OFFLOAD_ROWS = 32
"""From so many tokens on, a device computes with weights that the host has, and copies them.

Source: llama.cpp, ggml_backend_*_device_offload_op, GGML_OP_OFFLOAD_MIN_BATCH."""

PIPELINE_COPIES = 4
Order = Callable[[Sequence[Node]], Sequence[Node]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps for the allocator; see graph_memory."""

    steps: tuple[Step, ...]
    leaves: tuple[tuple[Node, int], ...]
    pinned: frozenset[Node]


@dataclass(slots=True)
class _Split:
    place: int
    nodes: list[Node] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)


def schedule(
    graph: Graph, host: int, *, copies: int, orders: Sequence[Order], unread: bool = True
) -> Schedule:
    """Divide a graph among backends.

    Args:
        host: Number of the host's backend, the last; the devices are before it.
        copies: Of each input, for pipelines over several devices; else 1.
        orders: What each backend makes of the order of its part.
        unread: Whether inputs that nothing reads are copied as well (builds of autumn 2026).
    """
    places = _places(graph, host)
    splits, copied = _splits(graph, places)
    pinned: set[Node] = set()
    leaves: list[tuple[Node, int]] = []
    if copies > 1:
        leaves, pinned = _piped(graph, places, splits, copied, copies, unread=unread)
    steps = [
        step for split in splits for step in _steps(split, places, copied, orders[split.place])
    ]
    leaves += [(leaf, places[leaf]) for leaf in graph.leaves]
    return Schedule(tuple(steps), tuple(leaves), frozenset(pinned))


def _places(graph: Graph, host: int) -> dict[Node, int]:
    places: dict[Node, int] = {}
    for leaf in graph.leaves:
        places[leaf] = host if leaf.place is None else leaf.place
    for node in graph.nodes:
        place = _own_place(node, host)
        if place is not None:
            places[node] = place
    for nodes, to_host in (
        (graph.nodes, False),
        (graph.nodes[::-1], False),
        (graph.nodes, True),
        (graph.nodes[::-1], True),
    ):
        _spread(nodes, places, host, to_host=to_host)
    for node in graph.nodes:
        if node not in places:
            places[node] = places.get(node.root, host)
    return places


def _own_place(node: Node, host: int) -> int | None:
    """The backend of what a node writes to, or of the weights that it reads."""
    if node.root.place is not None:
        return node.root.place
    if node.op in (Op.ROPE, Op.ATTENTION):
        return None
    weight = next((s for s in node.sources if s.is_weight), None)
    if weight is None:
        return None
    if weight.place == host and host > 0 and _is_offloaded(node):
        return 0
    return weight.place


def _is_offloaded(node: Node) -> bool:
    if node.op is Op.ROWS:
        return False
    shape = node.shape
    if node.op in (Op.MATMUL_ID, Op.ROPE):
        rows = shape[2] if len(shape) > 2 else 1  # noqa: PLR2004
    else:
        rows = 1
        for n in shape[1:]:
            rows *= n
    return rows >= OFFLOAD_ROWS


def _spread(nodes: Sequence[Node], places: dict[Node, int], host: int, *, to_host: bool) -> None:
    """Give nodes the backend of the one before; the host's only in the end."""
    current: int | None = None
    for node in nodes:
        if node.op in VIEWS:
            continue
        place = places.get(node)
        if place is not None:
            current = place if to_host or place != host else None
        elif current is not None:
            places[node] = current


def _splits(
    graph: Graph, places: dict[Node, int]
) -> tuple[list[_Split], dict[tuple[Node, int], Node]]:
    splits: list[_Split] = []
    copied: dict[tuple[Node, int], Node] = {}
    waiting: list[Node] = []
    for node in graph.nodes:
        if node.op in VIEWS:
            (splits[-1].nodes if splits else waiting).append(node)
            continue
        place = places[node]
        if not splits or splits[-1].place != place or _needs_split(node, splits[-1], places):
            splits.append(_Split(place, nodes=waiting))
            waiting = []
        split = splits[-1]
        split.nodes.append(node)
        for source in node.sources:
            if _place_of(source, places) != place and (source, place) not in copied:
                copied[source, place] = Node(
                    source.op, source.shape, stored_bytes=source.size_bytes
                )
                split.inputs.append(source)
    return splits, copied


def _place_of(node: Node, places: dict[Node, int]) -> int:
    return places[node.root] if node.is_view else places[node]


def _needs_split(node: Node, split: _Split, places: dict[Node, int]) -> bool:
    """Weights that were copied before can be overwritten in a new part."""
    if not split.inputs:
        return False
    return any(s.is_weight and places[s] != split.place for s in node.sources)


def _piped(
    graph: Graph,
    places: dict[Node, int],
    splits: Sequence[_Split],
    copied: dict[tuple[Node, int], Node],
    copies: int,
    *,
    unread: bool,
) -> tuple[list[tuple[Node, int]], set[Node]]:
    """Inputs several times over, none of them ever overwritten."""
    leaves: list[tuple[Node, int]] = []
    read = {s for node in graph.nodes for s in node.sources}
    for leaf in graph.leaves:
        if leaf.is_input and (unread or leaf in read):
            leaves += _repeated(leaf, places[leaf], copies)
    for split in splits:
        for source in split.inputs:
            leaves += _repeated(copied[source, split.place], split.place, copies)
    return leaves, {leaf for leaf, _ in leaves}


def _repeated(node: Node, place: int, copies: int) -> list[tuple[Node, int]]:
    others = [Node(node.op, node.shape, stored_bytes=node.size_bytes) for _ in range(copies - 1)]
    return [(n, place) for n in (node, *others)]


def _steps(
    split: _Split, places: dict[Node, int], copied: dict[tuple[Node, int], Node], order: Order
) -> list[Step]:
    steps: list[Step] = []
    for source in split.inputs:
        at = _place_of(source, places)
        stand_in = Node(Op.VIEW, source.shape, (source,), viewed=source.root)
        steps.append(Step(stand_in, at, (source,), keeps=False))
        steps.append(Step(copied[source, split.place], split.place, ()))
    for node in order(split.nodes):
        reads = tuple(copied.get((s, split.place), s) for s in node.sources)
        steps.append(Step(node, _place_of(node, places), reads))
    return steps
