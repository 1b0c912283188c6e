"""Recurrent layers' graphs: the gated delta net (Qwen3-Next, Qwen3.5) and Mamba 2.

Source: llama.cpp, src/models/delta-net-base.cpp, qwen35.cpp, qwen3next.cpp, mamba-base.cpp and
src/llama-graph.cpp (build_rs), with the fused operation that the CPU, CUDA, Metal and Vulkan have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from localllm.fit.graph_nodes import Node, Op, changed, computed, given, part, reshaped
from localllm.fit.graph_parts import Model, Weights, cache, matmul, normed


@dataclass(frozen=True, slots=True)
class States:
    """Inputs that say which slot's state is whose."""

    main: Node
    extra: Node


def states_of(model: Model) -> States:
    """Inputs of all recurrent layers."""
    slots = given(model.batch.slots, number_bytes=4)
    return States(part(slots, model.batch.slots), part(slots, 0))


def _state(
    model: Model,
    weights: Weights,
    states: States,
    numbers: int,
    rows: Callable[[Node, Node], Node] | None = None,
) -> Node:
    """Fetch each slot's state; the first is cleared, those not in use are moved."""
    slots, graph = model.batch.slots, model.graph
    kept = cache(weights.place, numbers, slots)
    flat = reshaped(kept, numbers, slots)
    cleared = part(flat, numbers)
    graph.expand(Node(Op.SCALE, cleared.shape, (cleared,), viewed=kept))
    if rows is None:
        found = computed(Op.ROWS, (numbers, slots), flat, states.main)
    else:
        found = rows(flat, states.main)
    graph.expand(found)
    extra = computed(Op.ROWS, (numbers, 0), flat, states.extra)
    _written(model, extra, part(kept, numbers, 0))
    return found


def _written(model: Model, source: Node, target: Node) -> None:
    model.graph.expand(Node(Op.OTHER, target.shape, (source, target), viewed=target.root))


def _convolved(model: Model, weights: Weights, states: States, mixed: Node) -> Node:
    """Put the last few tokens' numbers in front of the batch's; keep the newest."""
    batch, channels = model.batch, mixed.shape[0]
    kernel = weights.tensor("ssm_conv1d.weight").shape[0]
    tokens = batch.tokens // batch.slots
    before = _state(model, weights, states, (kernel - 1) * channels)
    before = reshaped(before, kernel - 1, channels, batch.slots)
    turned = part(mixed, tokens, channels, batch.slots)
    both = computed(Op.OTHER, (tokens + kernel - 1, channels, batch.slots), before, turned)
    kept = cache(weights.place, (kernel - 1) * channels, batch.slots)
    newest = part(both, kernel - 1, channels, batch.slots)
    _written(model, newest, part(kept, (kernel - 1) * channels, batch.slots))
    return both


def delta_net(model: Model, weights: Weights, source: Node, states: States) -> Node:
    """A gated delta net, from the normalised input to what its output matrix gives."""
    batch = model.batch
    tokens, dim = batch.tokens // batch.slots, model.number("ssm.state_size")
    heads, groups = model.number("ssm.time_step_rank"), model.number("ssm.group_count")
    mixed = matmul(weights, "attn_qkv", source)
    channels = mixed.shape[0]
    mixed = reshaped(mixed, channels, tokens, batch.slots)
    gate = matmul(weights, "attn_gate", source)
    beta, decay = _beta_and_decay(model, weights, source, heads, groups)
    both = _convolved(model, weights, states, mixed)
    state = _state(model, weights, states, dim * dim * heads)
    state = reshaped(state, dim, dim, heads, batch.slots)
    kernel = weights.node("ssm_conv1d.weight")
    active = computed(Op.CONVOLUTION, (channels, tokens, batch.slots), both, kernel)
    active = changed(Op.UNARY, active)
    query, key = (_normed(model, part(active, dim, groups, tokens, batch.slots)) for _ in range(2))
    value = part(active, dim, heads, tokens, batch.slots)
    if model.architecture == "qwen3next" and heads != groups:
        query, key = (_repeated(n, heads, groups, tokens, batch.slots) for n in (query, key))
    output = _recurred(model, weights, (query, key, value, decay, beta, state))
    result = changed(
        Op.MUL,
        normed(weights, "ssm_norm", output),
        changed(Op.UNARY, reshaped(gate, dim, heads, tokens, batch.slots)),
    )
    result = matmul(weights, "ssm_out", reshaped(result, dim * heads, tokens, batch.slots))
    return reshaped(result, result.shape[0], batch.tokens)


def _normed(model: Model, source: Node) -> Node:
    if not model.recent:  # an operation of its own, which may not be done in place
        return computed(Op.OTHER, source.shape, source)
    return changed(Op.SCALE, changed(Op.NORM, source))


def _repeated(source: Node, heads: int, groups: int, tokens: int, slots: int) -> Node:
    dim = source.shape[0]
    flat = reshaped(source, dim, 1, groups, tokens * slots)
    wide = computed(Op.OTHER, (dim, heads // groups, groups, tokens * slots), flat)
    return reshaped(wide, dim, heads, tokens, slots)


def _beta_and_decay(
    model: Model, weights: Weights, source: Node, heads: int, groups: int
) -> tuple[Node, Node]:
    batch = model.batch
    tokens = batch.tokens // batch.slots
    if "ssm_ba.weight" in weights:
        both = matmul(weights, "ssm_ba", source)
        both = reshaped(both, 2 * heads // groups, groups, tokens, batch.slots)
        half = (heads // groups, groups, tokens, batch.slots)
        beta = changed(Op.UNARY, computed(Op.OTHER, half, part(both, *half)))
        beta = reshaped(beta, 1, heads, tokens, batch.slots)
        alpha = computed(Op.OTHER, (heads, tokens, batch.slots), part(both, *half))
    else:
        beta = reshaped(matmul(weights, "ssm_beta", source), 1, heads, tokens, batch.slots)
        beta = changed(Op.UNARY, beta)
        alpha = reshaped(matmul(weights, "ssm_alpha", source), heads, tokens, batch.slots)
    decay = changed(Op.UNARY, changed(Op.ADD, alpha, weights.node("ssm_dt.bias")))
    decay = changed(Op.MUL, decay, weights.node("ssm_a"))
    return beta, reshaped(decay, 1, heads, tokens, batch.slots)


def _recurred(model: Model, weights: Weights, read: tuple[Node, ...]) -> Node:
    batch, state = model.batch, read[-1]
    dim, heads = state.shape[0], state.shape[2]
    tokens = batch.tokens // batch.slots
    rows = batch.tokens + dim * batch.slots
    result = computed(Op.OTHER, (dim * heads, rows), *read)
    kept = cache(weights.place, dim * dim * heads, batch.slots)
    _written(
        model,
        part(result, dim, dim, heads, batch.slots),
        part(kept, dim * dim * heads, batch.slots),
    )
    return part(result, dim, heads, tokens, batch.slots)


def mamba2(model: Model, weights: Weights, source: Node, states: States) -> Node:
    """Mamba 2's scan, from the normalised input to what its output matrix gives."""
    batch, inner, size = model.batch, model.number("ssm.inner_size"), model.number("ssm.state_size")
    heads, groups = model.number("ssm.time_step_rank"), model.number("ssm.group_count")
    tokens, slots, dim = batch.tokens // batch.slots, batch.slots, inner // heads
    channels = inner + 2 * groups * size
    kernel = weights.tensor("ssm_conv1d.weight").shape[0]
    before = _state(model, weights, states, (kernel - 1) * channels)
    before = reshaped(before, kernel - 1, channels, slots)
    wide = matmul(weights, "ssm_in", source)
    wide = reshaped(wide, wide.shape[0], tokens, slots)
    turned = part(part(wide, channels, tokens, slots), tokens, channels, slots)
    both = computed(Op.OTHER, (tokens + kernel - 1, channels, slots), before, turned)
    kept = cache(weights.place, (kernel - 1) * channels, slots)
    newest = part(both, kernel - 1, channels, slots)
    _written(model, newest, part(kept, (kernel - 1) * channels, slots))
    conv = computed(
        Op.CONVOLUTION, (channels, tokens, slots), both, weights.node("ssm_conv1d.weight")
    )
    conv = changed(Op.UNARY, changed(Op.ADD, conv, weights.node("ssm_conv1d.bias")))
    views = (
        part(conv, dim, heads, tokens, slots),
        part(conv, size, groups, tokens, slots),
        part(conv, size, groups, tokens, slots),
    )
    output = _scanned(model, weights, states, wide, views)
    gate = computed(Op.OTHER, output.shape, part(wide, dim, heads, tokens, slots))
    output = computed(Op.OTHER, output.shape, gate, output)
    if "ssm_norm.weight" in weights:
        output = normed(
            weights, "ssm_norm", reshaped(output, inner // groups, groups, tokens, slots)
        )
    return matmul(weights, "ssm_out", reshaped(output, inner, batch.tokens))


def _scanned(
    model: Model, weights: Weights, states: States, wide: Node, views: tuple[Node, Node, Node]
) -> Node:
    """Scan over the tokens; the new states come at the end of what it gives."""
    batch, numbers = model.batch, views[0]
    dim, heads, size = numbers.shape[0], numbers.shape[1], views[1].shape[0]
    tokens, slots = batch.tokens // batch.slots, batch.slots
    steps = computed(Op.OTHER, (heads, tokens, slots), part(wide, heads, tokens, slots))
    steps = changed(Op.ADD, steps, weights.node("ssm_dt.bias"))

    def rows(flat: Node, main: Node) -> Node:
        state = reshaped(flat, size, dim, heads, slots)
        total = dim * heads * batch.tokens + size * dim * heads * slots
        sources = (state, numbers, steps, weights.node("ssm_a"), *views[1:], main)
        return computed(Op.OTHER, (total,), *sources)

    found = _state(model, weights, states, size * dim * heads, rows)
    kept = cache(weights.place, size * dim * heads, slots)
    _written(model, part(found, size * dim * heads, slots), part(kept, size * dim * heads, slots))
    output = part(found, dim, heads, tokens, slots, contiguous=True)
    skipped = computed(Op.MUL, output.shape, numbers, weights.node("ssm_d"))
    return computed(Op.ADD, output.shape, output, skipped)
