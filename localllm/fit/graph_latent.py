"""Attention over one compressed vector per token (MLA) in a layer's graph.

Source: llama.cpp, src/models/deepseek2.cpp and src/llama-graph.cpp (build_attn_mha).
"""

from __future__ import annotations

from localllm.fit.graph_attention import Cells, by_stream
from localllm.fit.graph_nodes import HALF_BYTES, Node, Op, changed, computed, part, reshaped
from localllm.fit.graph_parts import Model, Weights, cache, matmul, normed


def latent_attention(
    model: Model, weights: Weights, source: Node, position: Node, cells: Cells
) -> Node:
    """Attention over one compressed vector per token (MLA), its matrices absorbed."""
    header, tokens = model.shape.header, model.batch.tokens
    heads, turned = header.heads, model.number("rope.dimension_count")
    rank, key = model.number("attention.kv_lora_rank"), model.number("attention.key_length_mla")
    value = model.number("attention.value_length_mla")
    query = source
    if "attn_q_a.weight" in weights:
        query = normed(weights, "attn_q_a_norm", matmul(weights, "attn_q_a", source))
    query = matmul(weights, "attn_q_b" if "attn_q_a.weight" in weights else "attn_q", query)
    query = reshaped(query, key, heads, tokens)
    both = matmul(weights, "attn_kv_a_mqa", source)
    place = changed(Op.ROPE, part(both, turned, 1, tokens), position)
    compressed = normed(weights, "attn_kv_a_norm", part(both, rank, tokens))
    query_place = changed(Op.ROPE, part(query, turned, heads, tokens), position)
    plain = part(part(query, key - turned, heads, tokens), key - turned, tokens, heads)
    absorbed = computed(Op.MATMUL, (rank, tokens, heads), weights.node("attn_k_b.weight"), plain)
    absorbed = part(absorbed, rank, heads, tokens)
    asked = computed(Op.OTHER, (rank + turned, heads, tokens), absorbed, query_place)
    compressed = reshaped(compressed, rank, 1, tokens)
    kept = computed(Op.OTHER, (rank + turned, 1, tokens), compressed, place)
    attended = _attend_latent(model, weights, cells, (asked, kept, compressed), (rank, value))
    return matmul(weights, "attn_output", attended)


def _attend_latent(
    model: Model,
    weights: Weights,
    cells: Cells,
    asked: tuple[Node, Node, Node],
    sizes: tuple[int, int],
) -> Node:
    query, key, compressed = asked
    (rank, value), graph, tokens = sizes, model.graph, model.batch.tokens
    heads, dim, streams = model.shape.header.heads, query.shape[0], cells.streams
    for node in (query, compressed, key):
        graph.expand(node)
    kept = cache(weights.cache_place, dim, cells.count, streams, kv_type=model.setting.kv_type)
    rows = part(key, dim, tokens)
    graph.expand(
        Node(
            Op.SET_ROWS, kept.shape, (rows, cells.keys, kept), viewed=kept, number_bytes=HALF_BYTES
        )
    )
    view = part(kept, dim, 1, cells.count, streams)
    values = part(part(view, rank, 1, cells.count, streams), rank, cells.count, 1, streams)
    keys = part(view, dim, cells.count, 1, streams)
    wide = (rank, heads, tokens // streams, streams)
    result = computed(
        Op.ATTENTION, wide, by_stream(query, dim, heads, tokens, streams), keys, values, cells.mask
    )
    turned = part(result, rank, tokens // streams, heads, streams)
    opened = computed(
        Op.MATMUL,
        (value, tokens // streams, heads, streams),
        weights.node("attn_v_b.weight"),
        turned,
    )
    back = part(opened, value, heads, tokens // streams, streams)
    flat = computed(Op.OTHER, back.shape, back)
    return graph.expand(reshaped(flat, value * heads, tokens))
