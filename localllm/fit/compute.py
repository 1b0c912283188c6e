"""llama.cpp's compute buffers, of the host and of each device, by replaying what it computes.

The graph is built as llama.cpp builds it (graph_model), divided among backends as its scheduler
does (graph_schedule), and laid out as its allocator does (graph_memory). Flash attention on.

On the CPU (xllamacpp 2026.10, b11549) it is the logged number, to its two decimals, in all of 215
cases: 27 models of the architectures in REPLAYED, contexts of 2048 to 131072, 1 and 4 slots,
unified or not, micro-batches of 128 to 2048, caches of 16, 8 and 4 bits.

On devices it was held against b10434 with Vulkan on software devices: mostly exact, elsewhere with
the margins below, which are measured and not derived. Those devices leave tensors of more than
128 MiB to the CPU, which real ones do not and which is not replayed; models with such experts were
measured with fewer of them. CUDA and Metal could not be run: CUDA is taken to keep llama.cpp's
order, and of Metal the largest of three orders is taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from localllm.fit.cache import Setting
from localllm.fit.graph_memory import buffer_bytes
from localllm.fit.graph_model import Placed, batch_of, graph_of
from localllm.fit.graph_nodes import FLOAT_BYTES, HALF_BYTES, Graph, Node
from localllm.fit.graph_parts import UnknownGraph
from localllm.fit.graph_reorder import vulkan_order, vulkan_order_before_gates
from localllm.fit.graph_schedule import PIPELINE_COPIES, Order, schedule
from localllm.fit.placing import Arrangement
from localllm.fit.shape import Shape
from localllm.formats.header import Tensor

HOST_ALIGNMENT = 32
ALIGNMENTS = {"cuda": 128, "rocm": 128, "vulkan": 256, "metal": 32}
REORDERING = frozenset({"vulkan", "metal"})

STEADY_LAYERS = 3
"""The first layer and the last are special; after some that are alike, nothing new happens, if one
has them. Where the host has a part, all layers are replayed: what is copied leaves new holes."""

REPLAYED = frozenset(
    {"bert", "deepseek2", "gemma3", "gemma4", "glm4moe", "gpt-oss", "llama", "mamba2"}
    | {"nomic-bert", "phi3", "qwen2", "qwen3", "qwen35", "qwen35moe", "qwen3moe", "qwen3next"}
)
UNKNOWN_ORDER = 1.1
"""Margin where an architecture's tensors are known ones, and what it makes of them is not."""

PER_LAYER_INPUTS = 1.03
"""Margin on reordering devices that have all of a Gemma 4 with inputs of each layer: 1.6 % missing."""

DELTA_NET = 1.09
"""Margin on reordering devices for delta nets, masks left out: 8.8 % missing at most, often none."""

DIVIDED_BYTES = 7 << 20
DELTA_DIVIDED_BYTES = 5 << 20

NARROW = 1024
NARROW_DELTA_BYTES = 84 * 1024
"""Per token, for dense delta nets as narrow as that over several devices. Unexplained: 41 MiB were
missing for 512 tokens of one 0.8B model; wider ones, of 2048 numbers and more, do not need it."""


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

    Raises:
        UnknownGraph: What the model computes is not known; see bound.py.
    """
    host = len(arrangement.devices)
    copies = PIPELINE_COPIES if host > 1 and arrangement.whole else 1
    if shape.compressed:
        raise UnknownGraph(shape.header.architecture)
    placed = _placed(shape, arrangement, host)
    output = next((i for i, s in enumerate(arrangement.devices) if s.output), host)
    graph = graph_of(shape, setting, placed, (host, output), mixed=mixed_batches)
    alignments = [*(ALIGNMENTS[k] for k in kinds), HOST_ALIGNMENT]
    tried = [
        _laid_out(graph, orders, alignments, copies, unread=mixed_batches)
        for orders in _orders(shape, kinds)
    ]
    sizes = [max(of_backend) for of_backend in zip(*tried, strict=True)]
    margin, extra = _missing(shape, setting, arrangement)
    masks_bytes = copies * batch_of(setting).tokens * setting.cells * HALF_BYTES
    devices = (
        size + int((margin - 1) * max(0, size - masks_bytes)) + extra
        if kind in REORDERING and size
        else size
        for size, kind in zip(sizes[:host], kinds, strict=True)
    )
    divided = _divided_bytes(shape, arrangement, masks_bytes)
    kept = kept_states_bytes(shape, setting)
    pooled = _pooled_bytes(shape, setting)
    on_host = kept if arrangement.host.layers else 0
    return _unsure(shape, sizes[host]) + on_host, tuple(
        # a delta net's own margin may cover it
        _unsure(shape, max(size, bare + more) if _has_delta_net(shape) else size + more)
        + kept
        + pooled
        for size, bare, more in zip(devices, sizes[:host], divided, strict=True)
    )


def kept_states_bytes(shape: Shape, setting: Setting) -> int:
    """One layer's states that guesses may be taken back to: they are made before they are kept.

    With two more of each slot never below the log, and up to 2.2 MiB above, in loads of a delta
    net with heads of its own: on the processor with 1, 2 and 4 slots and 1, 3 and 6 guesses.
    """
    if not setting.rollback:
        return 0
    states = (setting.rollback + 2) * setting.parallel
    return states * max((layer.state for layer in shape.layers), default=0) * FLOAT_BYTES


def _pooled_bytes(shape: Shape, setting: Setting) -> int:
    """Beside the replay, where a model that also writes embeds: 2.01 MiB were missing of 99.14."""
    if not setting.embeds or shape.encoder:
        return 0
    return 2 * batch_of(setting).tokens * shape.header.embedding * FLOAT_BYTES


def _divided_bytes(shape: Shape, arrangement: Arrangement, masks_bytes: int) -> Sequence[int]:
    """What the replay was measured to miss on devices that have a part of a model each.

    Where the host has a part too, up to 6.5 MiB, whatever the model; and on the last of several,
    of models with inputs of each layer, the masks once more.
    """
    count = len(arrangement.devices)
    aside = arrangement.experts_on_host > 0 and shape.experts is not None
    flat = 0
    if (aside or not arrangement.host.is_empty) and not _is_narrow_delta_net(shape, arrangement):
        flat = DELTA_DIVIDED_BYTES if _has_delta_net(shape) else DIVIDED_BYTES
    masks = masks_bytes + DIVIDED_BYTES if count > 1 and _has_inputs_per_layer(shape) else 0
    return [
        0 if share.is_empty else flat + (masks if n == count - 1 else 0)
        for n, share in enumerate(arrangement.devices)
    ]


def _is_narrow_delta_net(shape: Shape, arrangement: Arrangement) -> bool:
    several = len(arrangement.devices) > 1 and shape.experts is None
    return several and _has_delta_net(shape) and shape.header.embedding <= NARROW


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
    return [[w if k in REORDERING else _same for k in kinds] + [_same] for w in ways]


def _same(nodes: Sequence[Node]) -> Sequence[Node]:
    return nodes


def _has_delta_net(shape: Shape) -> bool:
    return any(t.name.endswith("attn_gate.weight") for layer in shape.layers for t in layer.tensors)


def _has_one_matrix(shape: Shape) -> bool:
    """Whether queries, keys and values come out of one matrix: they are copied as one."""
    return any(t.name.endswith("attn_qkv.weight") for layer in shape.layers for t in layer.tensors)


def _has_inputs_per_layer(shape: Shape) -> bool:
    return any(t.name.startswith("per_layer_") for t in shape.input_tables)


def _missing(shape: Shape, setting: Setting, arrangement: Arrangement) -> tuple[float, int]:
    """What the replay was measured to miss on a reordering device: a factor, and bytes."""
    tokens, width = batch_of(setting).tokens, shape.header.embedding
    alone = arrangement.host.is_empty and len(arrangement.devices) == 1
    if _has_delta_net(shape):
        if not _is_narrow_delta_net(shape, arrangement):
            return DELTA_NET, 0
        return 1.0, NARROW_DELTA_BYTES * width**2 // NARROW**2 * tokens
    if _has_inputs_per_layer(shape):
        return (PER_LAYER_INPUTS if alone else 1.0), 0
    parted = _has_one_matrix(shape) and not arrangement.host.is_empty
    return 1.0, width * FLOAT_BYTES * tokens if parted or shape.encoder else 0


def _unsure(shape: Shape, size: int) -> int:
    return size if shape.header.architecture in REPLAYED else int(UNKNOWN_ORDER * size)


def _placed(shape: Shape, arrangement: Arrangement, host: int) -> list[Placed]:
    """The layers that the replay goes through: of those that are alike the first and the last."""
    every = _every_layer(shape, arrangement, host)
    divided = host > 0 and not arrangement.whole
    divided |= host > 1 and _has_inputs_per_layer(shape)
    kinds = [_kind(here, i, divided=divided) for i, here in enumerate(every)]
    before: Counter[Hashable] = Counter()
    total, chosen = Counter(kinds), []
    for here, kind in zip(every, kinds, strict=True):
        if min(before[kind], total[kind] - 1 - before[kind]) < STEADY_LAYERS:
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


def _kind(here: Placed, index: int, *, divided: bool) -> Hashable:
    """What two layers that are computed alike have in common; divided, each is its own kind."""
    tensors = tuple((t.name.split(".", 2)[2], t.shape) for t in _tensors(here))
    kept = bool(here.layer.key), here.layer.windowed, bool(here.layer.state)
    return here.place, kept, tensors, index if divided else None


def _tensors(here: Placed) -> tuple[Tensor, ...]:
    return here.layer.tensors + here.layer.experts
