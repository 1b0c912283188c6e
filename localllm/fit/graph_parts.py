"""Parts of a layer's graph that many architectures share: norms, dense and mixed feed-forward.

Source: llama.cpp, src/llama-graph.cpp (build_norm, build_ffn, build_moe_ffn).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from localllm.fit.cache import KV_TYPES, Setting
from localllm.fit.graph_nodes import Graph, Node, Op, changed, computed, part, reshaped
from localllm.fit.shape import Experts, Shape
from localllm.formats.header import Tensor, Value


class UnknownGraph(Exception):
    """The model has not the tensors that a graph of this kind reads: it computes something else."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How much is computed at a time, and in what."""

    tokens: int
    """Of all slots together."""

    slots: int
    outputs: int
    """Tokens whose logits are wanted."""


@dataclass(frozen=True, slots=True)
class Model:
    """A graph in the making, and what it is made from."""

    shape: Shape
    setting: Setting
    batch: Batch
    keys: Mapping[str, Value]
    """The architecture's own, without its name in front."""

    recent: bool = True
    """Whether the build is one of autumn 2026: it can mix tokens with embeddings in a batch."""

    graph: Graph = field(default_factory=Graph)

    @property
    def architecture(self) -> str:
        return self.shape.header.architecture

    @property
    def experts(self) -> Experts:
        if self.shape.experts is None:
            raise UnknownGraph
        return self.shape.experts

    def number(self, key: str) -> int:
        found = self.keys.get(key, 0)
        return int(found) if isinstance(found, int | float) else 0

    def share(self, key: str) -> float:
        found = self.keys.get(key, 0.0)
        return float(found) if isinstance(found, int | float) else 0.0


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of one block, by name without the block's number, and where they are."""

    tensors: Mapping[str, Tensor]
    place: int
    experts_place: int
    cache_place: int = -1
    """Where the keys and values are that its attention reads; perhaps an earlier layer's."""

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def tensor(self, name: str) -> Tensor:
        """Raises UnknownGraph where there is none of that name."""
        if name not in self.tensors:
            raise UnknownGraph(name)
        return self.tensors[name]

    def node(self, name: str) -> Node:
        tensor = self.tensor(name)
        place = self.experts_place if "_exps." in name else self.place
        return stored(tensor, place)

    def width(self, name: str) -> int:
        """Numbers that a matrix gives."""
        shape = self.tensor(name).shape
        return shape[1] if len(shape) > 1 else 1


def stored(tensor: Tensor, place: int) -> Node:
    """Stand for weights that a backend has."""
    return Node(Op.LEAF, tensor.shape, place=place, is_weight=True, stored_bytes=tensor.size_bytes)


def cache(place: int, *shape: int, kv_type: str | None = None) -> Node:
    """Stand for keys, values or state (F32, without a type) that are kept between batches."""
    numbers = prod(shape)
    if kv_type is None:
        return Node(Op.LEAF, shape, place=place)
    storage = KV_TYPES[kv_type]
    size = -(-numbers // storage.block) * storage.block_bytes
    return Node(Op.LEAF, shape, place=place, stored_bytes=size)


def matmul(weights: Weights, name: str, source: Node) -> Node:
    """Multiply with a matrix, of which each row gives one number per token."""
    weight = weights.node(f"{name}.weight")
    wide = (weights.width(f"{name}.weight"), *source.shape[1:])
    return _adapted(weights, name, source, computed(Op.MATMUL, wide, weight, source))


def _adapted(weights: Weights, name: str, source: Node, result: Node) -> Node:
    """Add what each adapter (LoRA) makes of the same source. Source: llama-graph.cpp, build_lora_mm."""
    number = 0
    while (narrow := adapter_tensor(f"{name}.weight", "a", number)) in weights:
        wide = adapter_tensor(f"{name}.weight", "b", number)
        small = computed(
            Op.MATMUL, (weights.width(narrow), *source.shape[1:]), weights.node(narrow), source
        )
        change = changed(Op.SCALE, computed(Op.MATMUL, result.shape, weights.node(wide), small))
        result = changed(Op.ADD, result, change)
        number += 1
    return result


def adapter_tensor(weight: str, half: str, number: int) -> str:
    """Name a tensor of an adapter beside the model's own: of several, each has its number."""
    return f"{weight}.lora_{half}.{number}"


def biased(weights: Weights, name: str, source: Node) -> Node:
    """Add a bias where there is one."""
    if f"{name}.bias" not in weights:
        return source
    return changed(Op.ADD, source, weights.node(f"{name}.bias"))


def normed(weights: Weights, name: str, source: Node) -> Node:
    """Normalise, and multiply with a weight where there is one."""
    centred = f"{name}.bias" in weights  # LayerNorm, which may not be done in place
    result = computed(Op.OTHER if centred else Op.NORM, source.shape, source)
    if f"{name}.weight" in weights:
        result = changed(Op.MUL, result, weights.node(f"{name}.weight"))
    return biased(weights, name, result)


def feed_forward(weights: Weights, source: Node, suffix: str = "") -> Node:
    """Gate and up, their product, down; or up, an activation, down."""
    up = biased(weights, f"ffn_up{suffix}", matmul(weights, f"ffn_up{suffix}", source))
    down_width = weights.tensor(f"ffn_down{suffix}.weight").shape[0]
    if f"ffn_gate{suffix}.weight" in weights:
        gate = matmul(weights, f"ffn_gate{suffix}", source)
        gate = biased(weights, f"ffn_gate{suffix}", gate)
        inner = computed(Op.OTHER, up.shape, gate, up)
    elif up.shape[0] == 2 * down_width:  # gate and up in one matrix
        inner = computed(Op.OTHER, (down_width, *up.shape[1:]), up)
    else:
        inner = changed(Op.UNARY, up)
    return biased(weights, f"ffn_down{suffix}", matmul(weights, f"ffn_down{suffix}", inner))


@dataclass(frozen=True, slots=True)
class Routing:
    """How an architecture chooses experts and weighs what they give."""

    late_softmax: bool = False
    normalised: bool = True
    scaled: bool = False
    grouped: int = 0
    """Groups of experts of which the best are searched; 0: all are."""

    groups_used: int = 0


def mixture(
    model: Model, weights: Weights, source: Node, routing: Routing, logits: Node | None = None
) -> Node:
    """Send each token through a few experts, and add up what they give."""
    experts = model.experts
    tokens = source.shape[1] if len(source.shape) > 1 else 1
    if logits is None:
        logits = matmul(weights, "ffn_gate_inp", source)
        logits = biased(weights, "ffn_gate_inp", logits)
    probabilities = logits if routing.late_softmax else changed(Op.SOFTMAX, logits)
    chosen = _chosen(model, weights, probabilities, routing, tokens)
    factors = _factors(model, probabilities, chosen, routing, tokens)
    model.graph.expand(factors)
    given = _through(weights, reshaped(source, source.shape[0], 1, tokens), chosen, experts.used)
    weighted = model.graph.expand(changed(Op.MUL, given, factors))
    return _added_up(model, weighted, experts.used, tokens)


def _chosen(
    model: Model, weights: Weights, probabilities: Node, routing: Routing, tokens: int
) -> Node:
    experts = model.experts
    if "exp_probs_b.bias" in weights:
        probabilities = changed(Op.ADD, probabilities, weights.node("exp_probs_b.bias"))
    if routing.grouped > 1:
        probabilities = _best_groups(probabilities, routing, experts.count, tokens)
    order = computed(Op.ARGSORT, probabilities.shape, probabilities)
    return part(order, experts.used, tokens)


def _best_groups(probabilities: Node, routing: Routing, count: int, tokens: int) -> Node:
    groups, size = routing.grouped, count // routing.grouped
    grouped = reshaped(probabilities, size, groups, tokens)
    two = part(computed(Op.ARGSORT, grouped.shape, grouped), 2, groups, tokens)
    best = computed(
        Op.ROWS, (1, 2, groups, tokens), reshaped(grouped, 1, size, groups, tokens), two
    )
    scores = computed(Op.SUM_ROWS, (1, groups, tokens), reshaped(best, 2, groups, tokens))
    scores = reshaped(scores, groups, tokens)
    used = part(computed(Op.ARGSORT, scores.shape, scores), routing.groups_used, tokens)
    rows = computed(Op.ROWS, (size, routing.groups_used, tokens), grouped, used)
    filled = computed(Op.SCALE, grouped.shape, grouped)
    set_rows = Node(Op.SET_ROWS, filled.shape, (filled, rows, used), viewed=filled)
    return reshaped(set_rows, count, tokens)


def _factors(
    model: Model, probabilities: Node, chosen: Node, routing: Routing, tokens: int
) -> Node:
    """What each chosen expert's result is multiplied with."""
    experts = model.experts
    used = experts.used
    rows = reshaped(probabilities, 1, experts.count, tokens)
    factors = computed(Op.ROWS, (1, used, tokens), rows, chosen)
    if routing.late_softmax:
        factors = changed(Op.SOFTMAX, reshaped(factors, used, tokens))
        factors = reshaped(factors, 1, used, tokens)
    if routing.normalised:
        factors = reshaped(factors, used, tokens)
        total = changed(Op.CLAMP, computed(Op.SUM_ROWS, (1, tokens), factors))
        factors = reshaped(changed(Op.DIV, factors, total), 1, used, tokens)
    return changed(Op.SCALE, factors) if routing.scaled else factors


def _through(weights: Weights, source: Node, chosen: Node, used: int) -> Node:
    tokens = source.shape[2] if len(source.shape) > 2 else 1  # noqa: PLR2004
    if "ffn_gate_up_exps.weight" in weights:
        both = _selected(weights, "ffn_gate_up_exps", source, chosen, (used, tokens))
        half = both.shape[0] // 2
        gate, up = part(both, half, used, tokens), part(both, half, used, tokens)
        inner = computed(Op.OTHER, (half, used, tokens), gate, up)
    else:
        up = _selected(weights, "ffn_up_exps", source, chosen, (used, tokens))
        if "ffn_gate_exps.weight" in weights:
            gate = _selected(weights, "ffn_gate_exps", source, chosen, (used, tokens))
            inner = computed(Op.OTHER, up.shape, gate, up)
        else:
            inner = changed(Op.UNARY, up)
    return _selected(weights, "ffn_down_exps", inner, chosen, (used, tokens))


def _selected(
    weights: Weights, name: str, source: Node, chosen: Node, wide: tuple[int, int]
) -> Node:
    """Multiply with the chosen experts' matrices; then their scales and biases, if any."""
    width = weights.width(f"{name}.weight")
    result = computed(Op.MATMUL_ID, (width, *wide), weights.node(f"{name}.weight"), source, chosen)
    if f"{name}.scale" in weights:
        count = weights.tensor(f"{name}.scale").shape[0]
        scale = reshaped(weights.node(f"{name}.scale"), 1, count, 1)
        repeated = computed(Op.OTHER, (1, count, wide[1]), scale)
        result = changed(Op.MUL, result, computed(Op.ROWS, (1, *wide), repeated, chosen))
    if f"{name}.bias" in weights:
        result = changed(Op.ADD_ID, result, weights.node(f"{name}.bias"), chosen)
    return result


def _added_up(model: Model, weighted: Node, used: int, tokens: int) -> Node:
    width = weighted.shape[0]
    parts = [model.graph.expand(part(weighted, width, tokens)) for _ in range(used)]
    total = parts[0]
    for other in parts[1:]:
        total = model.graph.expand(computed(Op.ADD, (width, tokens), total, other))
    return total if used > 1 else computed(Op.OTHER, (width, tokens), total)
