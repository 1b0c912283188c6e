"""Attention in a layer's graph: plain, gated, with norms, over a compressed vector (MLA).

Source: llama.cpp, src/llama-graph.cpp (build_qkv, build_attn, build_attn_mha) and src/models/.
"""

from __future__ import annotations

from dataclasses import dataclass

from localllm.fit.cache import window_cells
from localllm.fit.graph_nodes import (
    CELL_BYTES,
    HALF_BYTES,
    Node,
    Op,
    changed,
    computed,
    given,
    part,
    reshaped,
)
from localllm.fit.graph_parts import Model, UnknownGraph, Weights, biased, cache, matmul, normed
from localllm.fit.shape import Layer

ROTATED = 64
"""Keys and values of quantized caches are rotated, in blocks of at least so many numbers."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Inputs that say where a kind of layers keeps what, and what each token may see."""

    count: int
    streams: int
    keys: Node
    values: Node
    mask: Node
    key_rotation: Node | None
    value_rotation: Node | None


def cells_of(model: Model, *, windowed: bool) -> Cells:
    """Inputs of all layers with a window, or of all without."""
    tokens, streams = model.batch.tokens, min(model.setting.streams, model.batch.slots)
    if model.shape.encoder:
        count = tokens
        streams = 1
    else:
        count = window_cells(model.shape, model.setting) if windowed else model.setting.cells
    key_rotation, value_rotation = _rotations(model, windowed=windowed)
    return Cells(
        count,
        streams,
        given(tokens, number_bytes=CELL_BYTES),
        given(tokens, number_bytes=CELL_BYTES),
        given(count, tokens // streams, 1, streams, number_bytes=HALF_BYTES),
        key_rotation,
        value_rotation,
    )


def _rotations(model: Model, *, windowed: bool) -> tuple[Node | None, Node | None]:
    """Matrices that keys and values are multiplied with before they are quantized."""
    header = model.shape.header
    plain = model.setting.kv_type == "f16" or model.shape.encoder or model.shape.latent
    if plain or not header.key_dim or header.key_dim % ROTATED:
        return None, None
    dim = header.key_dim
    if windowed:
        dim = model.number("attention.key_length_swa") or dim
    size = ROTATED
    while dim % (2 * size) == 0:
        size *= 2
    return given(size, size), given(ROTATED, ROTATED)


@dataclass(frozen=True, slots=True)
class Heads:
    """How a layer's numbers are divided among heads."""

    count: int
    groups: int
    """Heads of keys and values."""

    key: int
    value: int


def heads_of(model: Model, layer: Layer, weights: Weights) -> Heads:
    """How many heads a layer has, and how wide they are."""
    header = model.shape.header
    number = model.keys.get("attention.head_count", header.heads)
    count = number if isinstance(number, int) else header.heads
    key = layer.query // count
    groups = (
        weights.width("attn_k.weight") // key if "attn_k.weight" in weights else layer.key // key
    )
    return Heads(count, groups, key, layer.attended // count)


def attention(
    model: Model, layer: Layer, weights: Weights, source: Node, position: Node, cells: Cells
) -> Node:
    """Plain attention, from the normalised input to what the output matrix gives."""
    heads, tokens = heads_of(model, layer, weights), model.batch.tokens
    query, key, value = _asked(weights, source, heads, tokens)
    query = _turned(model, weights, "attn_q", query, position)
    if model.architecture in QUERY_SCALED:
        query = changed(Op.SCALE, query)
    key = _turned(model, weights, "attn_k", key, position)
    attended = attend(model, weights, cells, (query, key, value), heads)
    return biased(weights, "attn_output", matmul(weights, "attn_output", attended))


QUERY_SCALED = frozenset({"gemma", "gemma2", "gemma3", "phi3", "gemma-embedding", "phi2"})
UNTURNED = frozenset({"bert", "jina-bert-v2", "jina-bert-v3"})


def shared_attention(
    model: Model, layer: Layer, weights: Weights, source: Node, position: Node, cells: Cells
) -> Node:
    """Gemma 4's: values are normalised as well, or are the keys; late layers use earlier ones' cache."""
    heads, tokens = heads_of(model, layer, weights), model.batch.tokens
    query = reshaped(matmul(weights, "attn_q", source), heads.key, heads.count, tokens)
    query = _turned(model, weights, "attn_q", query, position)
    key = value = None
    if layer.key:
        key = matmul(weights, "attn_k", source)
        value = matmul(weights, "attn_v", source) if "attn_v.weight" in weights else key
        key = reshaped(key, heads.key, heads.groups, tokens)
        value = reshaped(value, heads.value, heads.groups, tokens)
        key = _turned(model, weights, "attn_k", key, position)
        value = computed(Op.NORM, value.shape, value)
    attended = attend(model, weights, cells, (query, key, value), heads)
    return matmul(weights, "attn_output", attended)


def _asked(weights: Weights, source: Node, heads: Heads, tokens: int) -> tuple[Node, Node, Node]:
    shapes = ((heads.key, heads.count), (heads.key, heads.groups), (heads.value, heads.groups))
    if "attn_qkv.weight" in weights:
        both = biased(weights, "attn_qkv", matmul(weights, "attn_qkv", source))
        query, key, value = (part(both, *s, tokens) for s in shapes)
        return query, key, value
    query, key, value = (
        reshaped(biased(weights, n, matmul(weights, n, source)), *s, tokens)
        for n, s in zip(("attn_q", "attn_k", "attn_v"), shapes, strict=True)
    )
    return query, key, value


def _turned(model: Model, weights: Weights, name: str, source: Node, position: Node) -> Node:
    """Normalise per head where there is a norm, and turn by position."""
    if f"{name}_norm.weight" in weights:
        source = normed(weights, f"{name}_norm", source)
    if model.architecture in UNTURNED:
        return source
    return changed(Op.ROPE, source, position)


def gated_attention(
    model: Model, layer: Layer, weights: Weights, source: Node, position: Node, cells: Cells
) -> Node:
    """Attention whose result is multiplied with a gate that comes out of the query's matrix."""
    heads, tokens = heads_of(model, layer, weights), model.batch.tokens
    both = matmul(weights, "attn_q", source)
    query = part(both, heads.key, heads.count, tokens)
    key = reshaped(matmul(weights, "attn_k", source), heads.key, heads.groups, tokens)
    value = reshaped(matmul(weights, "attn_v", source), heads.value, heads.groups, tokens)
    query = changed(Op.ROPE, normed(weights, "attn_q_norm", query), position)
    key = changed(Op.ROPE, normed(weights, "attn_k_norm", key), position)
    attended = attend(model, weights, cells, (query, key, value), heads)
    gate = part(both, heads.key, heads.count, tokens)
    gate = computed(Op.OTHER, (heads.key * heads.count, tokens), gate)
    product = changed(Op.MUL, attended, changed(Op.UNARY, gate))
    return matmul(weights, "attn_output", product)


def attend(
    model: Model,
    weights: Weights,
    cells: Cells,
    asked: tuple[Node, Node | None, Node | None],
    heads: Heads,
) -> Node:
    """Keep keys and values, compare, and sum up; all tokens, all heads."""
    query, key, value = asked
    graph, tokens = model.graph, model.batch.tokens
    query = _rotated(query, cells.key_rotation)
    key = _rotated(key, cells.key_rotation) if key else None
    value = _rotated(value, cells.value_rotation) if value else None
    windows = model.shape.window > 0
    for node in (query, key, value) if windows else (query, value, key):
        if node is not None:
            graph.expand(node)
    if model.shape.encoder:
        return _uncached(model, (query, key, value), cells, heads)
    keys, values = _kept(model, weights, cells, key, value, heads)
    views = (by_stream(query, heads.key, heads.count, tokens, cells.streams), keys, values)
    return _rotated(_attended(model, views, cells, heads), cells.value_rotation)


def _rotated(source: Node, rotation: Node | None) -> Node:
    if rotation is None:
        return source
    size, total = rotation.shape[0], 1
    for n in source.shape:
        total *= n
    if not source.contiguous:
        source = computed(Op.OTHER, source.shape, source)
    flat = reshaped(source, size, total // size)
    return reshaped(computed(Op.MATMUL, flat.shape, rotation, flat), *source.shape)


def by_stream(source: Node, dim: int, heads: int, tokens: int, streams: int) -> Node:
    """Show queries by stream of the cache, head and token."""
    view = part(source, dim, heads, tokens // streams, streams)
    return part(view, dim, tokens // streams, heads, streams)


def _kept(
    model: Model, weights: Weights, cells: Cells, key: Node | None, value: Node | None, heads: Heads
) -> tuple[Node, Node]:
    """Write keys and values to the cache, and look at all of it."""
    tokens, views = model.batch.tokens, []
    for new, index, dim in ((key, cells.keys, heads.key), (value, cells.values, heads.value)):
        kept = cache(
            weights.cache_place,
            dim * heads.groups,
            cells.count,
            cells.streams,
            kv_type=model.setting.kv_type,
        )
        if new is not None:
            rows = part(new, dim * heads.groups, tokens)
            model.graph.expand(
                Node(
                    Op.SET_ROWS,
                    kept.shape,
                    (rows, index, kept),
                    viewed=kept,
                    number_bytes=HALF_BYTES,
                )
            )
        view = part(kept, dim, heads.groups, cells.count, cells.streams)
        views.append(part(view, dim, cells.count, heads.groups, cells.streams))
    return views[0], views[1]


def _uncached(
    model: Model, asked: tuple[Node, Node | None, Node | None], cells: Cells, heads: Heads
) -> Node:
    query, key, value = asked
    if key is None or value is None:
        raise UnknownGraph
    tokens = model.batch.tokens
    views = [by_stream(query, heads.key, heads.count, tokens, 1)]
    for source, dim in ((key, heads.key), (value, heads.value)):
        turned = part(source, dim, tokens, heads.groups)
        views.append(computed(Op.OTHER, turned.shape, turned, number_bytes=HALF_BYTES))
    return _attended(model, (views[0], views[1], views[2]), cells, heads)


def _attended(model: Model, views: tuple[Node, Node, Node], cells: Cells, heads: Heads) -> Node:
    tokens, streams = model.batch.tokens, cells.streams
    wide = (heads.value, heads.count, tokens // streams, streams)
    result = computed(Op.ATTENTION, wide, *views, cells.mask)
    return model.graph.expand(reshaped(result, heads.value * heads.count, tokens))
