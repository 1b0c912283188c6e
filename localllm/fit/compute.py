"""llama.cpp's compute buffers, of the host and of each device, by replaying what it computes.

The graph is built as llama.cpp builds it (graph_model), divided among backends as its scheduler
does (graph_schedule), and laid out as its allocator does (graph_memory). Flash attention on.

Exact, to the two decimals that the log prints, on the CPU with xllamacpp 2026.10 (b11549) for the
architectures in REPLAYED, 27 models, contexts of 2048 to 131072, 1 and 4 slots, unified or not,
micro-batches of 128 to 2048, caches of 16, 8 and 4 bits. With b10434 and Vulkan exact on one device
for those but the ones with a margin here, whole and in part (`--n-gpu-layers`, `--n-cpu-moe`), and
on two. CUDA's and Metal's could not be run: CUDA is taken to keep llama.cpp's order, of Metal's and
llama.cpp's the larger is taken.

A device that cannot do an operation leaves it to the host, which is not seen here: software
devices refuse tensors above 128 MiB, and keys of more than 512 numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from localllm.fit.cache import Setting
from localllm.fit.graph_bound import bounded_bytes
from localllm.fit.graph_memory import buffer_bytes
from localllm.fit.graph_model import Placed, batch_of, graph_of
from localllm.fit.graph_nodes import FLOAT_BYTES, Graph, Node
from localllm.fit.graph_parts import UnknownGraph
from localllm.fit.graph_reorder import vulkan_order, vulkan_order_before_gates
from localllm.fit.graph_schedule import PIPELINE_COPIES, Order, schedule
from localllm.fit.placing import Arrangement
from localllm.fit.shape import Shape

HOST_ALIGNMENT = 32
ALIGNMENTS = {"cuda": 128, "rocm": 128, "vulkan": 256, "metal": 32}
STEADY_LAYERS = 3
"""The first layer and the last are special; after some that are alike, nothing new happens."""

REPLAYED = frozenset(
    {"bert", "deepseek2", "gemma3", "gemma4", "glm4moe", "gpt-oss", "llama", "mamba2"}
    | {"nomic-bert", "phi3", "qwen2", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next"}
)
UNKNOWN_ORDER = 1.1
"""Margin where an architecture's tensors are known ones, and what it makes of them is not."""

REORDERED = 1.03
"""Margin on Vulkan for delta nets and Gemma 4's inputs of each layer: measured 1.7 % too little."""

DIVIDED_DELTA_BYTES = 61 * 1024
"""Per token, for a delta net over several Vulkan devices: measured 30 MiB too little for 512."""


def compute_bytes(
    shape: Shape,
    setting: Setting,
    arrangement: Arrangement,
    kinds: Sequence[str],
    *,
    mixed_batches: bool = True,
) -> tuple[int, tuple[int, ...]]:
    """The host's compute buffers, CPU and pinned together, and each device's.

    Args:
        kinds: Of each device of the arrangement: cuda, rocm, vulkan or metal.
        mixed_batches: Whether the build can mix tokens with embeddings in a batch: seen in
            11549, not yet in 10434.
    """
    host = len(arrangement.devices)
    copies = PIPELINE_COPIES if host > 1 and arrangement.whole else 1
    if shape.compressed:
        return bounded_bytes(shape, setting, arrangement, copies)
    placed = _placed(shape, arrangement, host)
    output = next((i for i, s in enumerate(arrangement.devices) if s.output), host)
    try:
        graph = graph_of(shape, setting, placed, (host, output), mixed=mixed_batches)
    except UnknownGraph:
        return bounded_bytes(shape, setting, arrangement, copies)
    alignments = [*(ALIGNMENTS[k] for k in kinds), HOST_ALIGNMENT]
    tried = [
        _laid_out(graph, orders, alignments, copies, unread=mixed_batches)
        for orders in _orders(shape, kinds)
    ]
    sizes = [max(of_backend) for of_backend in zip(*tried, strict=True)]
    extra = _extra_bytes(shape, setting, arrangement)
    devices = (
        _with_margin(shape, size, extra, kind)
        for size, kind in zip(sizes[:host], kinds, strict=True)
    )
    return _unsure(shape, sizes[host]), tuple(devices)


def _laid_out(
    graph: Graph, orders: Sequence[Order], alignments: Sequence[int], copies: int, *, unread: bool
) -> tuple[int, ...]:
    host = len(alignments) - 1
    plan = schedule(graph, host, copies=copies, orders=orders, unread=unread)
    return buffer_bytes(plan.steps, plan.leaves, plan.pinned, alignments)


def _orders(shape: Shape, kinds: Sequence[str]) -> list[list[Order]]:
    """Ways in which the backends may order what they compute; the host's is the last."""
    several = "metal" in kinds or ("vulkan" in kinds and _has_delta_net(shape))
    ways: list[Order] = (
        [vulkan_order, vulkan_order_before_gates, _same] if several else [vulkan_order]
    )
    return [[w if k in ("vulkan", "metal") else _same for k in kinds] + [_same] for w in ways]


def _same(nodes: Sequence[Node]) -> Sequence[Node]:
    return nodes


def _has_delta_net(shape: Shape) -> bool:
    return any(t.name.endswith("attn_gate.weight") for layer in shape.layers for t in layer.tensors)


def _has_one_matrix(shape: Shape) -> bool:
    """Whether queries, keys and values come out of one matrix: they are copied as one."""
    return any(t.name.endswith("attn_qkv.weight") for layer in shape.layers for t in layer.tensors)


def _has_inputs_per_layer(shape: Shape) -> bool:
    return any(t.name.startswith("per_layer_") for t in shape.input_tables)


def _extra_bytes(shape: Shape, setting: Setting, arrangement: Arrangement) -> int:
    """What the replay was measured to miss on reordering devices that share a model."""
    tokens = batch_of(setting).tokens
    if _has_delta_net(shape):
        return DIVIDED_DELTA_BYTES * tokens if len(arrangement.devices) > 1 else 0
    if _has_one_matrix(shape) and not arrangement.whole:
        return shape.header.embedding * FLOAT_BYTES * tokens
    return 0


def _with_margin(shape: Shape, size: int, extra: int, kind: str) -> int:
    if kind in ("vulkan", "metal"):
        if not extra and (_has_delta_net(shape) or _has_inputs_per_layer(shape)):
            size = int(REORDERED * size)
        size += extra
    return _unsure(shape, size)


def _unsure(shape: Shape, size: int) -> int:
    return size if shape.header.architecture in REPLAYED else int(UNKNOWN_ORDER * size)


def _placed(shape: Shape, arrangement: Arrangement, host: int) -> list[Placed]:
    """The layers that the replay goes through: of those that are alike the first and the last."""
    every = _every_layer(shape, arrangement, host)
    divided = host > 1 or (host > 0 and not arrangement.whole)
    kinds = [_kind(here, i, host, divided=divided) for i, here in enumerate(every)]
    before: Counter[Hashable] = Counter()
    total, chosen = Counter(kinds), []
    for here, kind in zip(every, kinds, strict=True):
        if before[kind] < STEADY_LAYERS or before[kind] >= total[kind] - STEADY_LAYERS:
            chosen.append(here)
        before[kind] += 1
    return chosen


def _every_layer(shape: Shape, arrangement: Arrangement, host: int) -> list[Placed]:
    every: list[Placed] = []
    lenders: dict[bool, int] = {}
    for i, layer in enumerate(shape.layers):
        place = next((n for n, s in enumerate(arrangement.devices) if i in s.layers), host)
        if layer.key:
            lenders[layer.windowed] = place
        experts = place if arrangement.keeps_experts(i) else host
        every.append(Placed(layer, place, experts, lenders.get(layer.windowed, place)))
    return every


def _kind(here: Placed, index: int, host: int, *, divided: bool) -> Hashable:
    """What two layers that are computed alike have in common."""
    copied = host > 0 and host in (here.place, here.experts_place)
    tensors = tuple(
        (t.name.split(".", 2)[2], t.shape, t.size_bytes if copied else 0)
        for t in (*here.layer.tensors, *here.layer.experts)
    )
    own_input = any(name == "inp_gate.weight" for name, *_ in tensors)
    one = index if own_input and divided else None  # a device has a copy of each one's input
    kept = bool(here.layer.key), here.layer.windowed, bool(here.layer.state)
    return here.place, here.experts_place, here.cache_place, kept, tensors, one
