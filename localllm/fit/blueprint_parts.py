"""Tensors of one block, part by part: attention of several kinds, feed-forward, experts, state.

Names are without the block's number, shapes with the innermost dimension first.
Source: llama.cpp, src/models/*.cpp (load_arch_tensors), October 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from localllm.fit.blueprint_dims import Dims

Entry: TypeAlias = tuple[str, tuple[int, ...]]
"""A tensor's name and shape."""

INDEXED = 4
"""DeepSeek V4's layers that compress so many tokens are searched through an index."""


def norms(width: int, *names: str, bias: bool = False) -> Iterator[Entry]:
    """One vector each, or two."""
    for name in names:
        yield f"{name}.weight", (width,)
        if bias:
            yield f"{name}.bias", (width,)


def attention(
    d: Dims, i: int, *, bias: bool = False, head_norms: bool = False, gated: bool = False
) -> Iterator[Entry]:
    """Queries, keys and values from matrices of their own; a gate comes with the queries."""
    query, key = d.heads(i) * d.key_dim(i), d.heads_kv(i) * d.key_dim(i)
    value = d.heads_kv(i) * d.value_dim(i)
    widths = (("attn_q", query * (2 if gated else 1)), ("attn_k", key), ("attn_v", value))
    for name, width in widths:
        yield f"{name}.weight", (d.embedding, width)
        if bias:
            yield f"{name}.bias", (width,)
    yield "attn_output.weight", (d.heads(i) * d.value_dim(i), d.embedding)
    if head_norms:
        yield from norms(d.key_dim(i), "attn_q_norm", "attn_k_norm")


def joined_attention(d: Dims, i: int) -> Iterator[Entry]:
    """Phi 3's: one matrix for all three."""
    both = d.heads_kv(i) * (d.key_dim() + d.value_dim())
    yield "attn_qkv.weight", (d.embedding, d.heads(i) * d.key_dim() + both)
    yield "attn_output.weight", (d.heads(i) * d.value_dim(), d.embedding)


def latent_attention(d: Dims, i: int) -> Iterator[Entry]:
    """Attention over one compressed vector per token (MLA)."""
    heads, rank = d.heads(i), d.number("attention.kv_lora_rank")
    key, value = d.number("attention.key_length_mla"), d.number("attention.value_length_mla")
    turned, query_rank = d.number("rope.dimension_count"), d.number("attention.q_lora_rank", 0)
    if query_rank:
        yield "attn_q_a.weight", (d.embedding, query_rank)
        yield "attn_q_a_norm.weight", (query_rank,)
        yield "attn_q_b.weight", (query_rank, heads * key)
    else:
        yield "attn_q.weight", (d.embedding, heads * key)
    yield "attn_kv_a_mqa.weight", (d.embedding, rank + turned)
    yield "attn_kv_a_norm.weight", (rank,)
    yield "attn_k_b.weight", (key - turned, rank, heads)
    yield "attn_v_b.weight", (rank, value, heads)
    yield "attn_output.weight", (heads * value, d.embedding)


def dense(d: Dims, width: int) -> Iterator[Entry]:
    """A feed-forward part with a gate."""
    yield "ffn_gate.weight", (d.embedding, width)
    yield "ffn_up.weight", (d.embedding, width)
    yield "ffn_down.weight", (width, d.embedding)


def experts(d: Dims, *, joined: bool = False, bias: bool = False) -> Iterator[Entry]:
    """A router and all experts; `joined`: gate and up in one tensor."""
    count, width = d.experts, d.expert_width
    yield "ffn_gate_inp.weight", (d.embedding, count)
    if joined:
        yield "ffn_gate_up_exps.weight", (d.embedding, 2 * width, count)
    else:
        yield "ffn_gate_exps.weight", (d.embedding, width, count)
        yield "ffn_up_exps.weight", (d.embedding, width, count)
    yield "ffn_down_exps.weight", (width, d.embedding, count)
    if bias:
        yield "ffn_gate_inp.bias", (count,)
        yield "ffn_gate_exps.bias", (width, count)
        yield "ffn_up_exps.bias", (width, count)
        yield "ffn_down_exps.bias", (d.embedding, count)


def shared_expert(d: Dims, width: int) -> Iterator[Entry]:
    """What every token goes through beside its experts; nothing where the width is 0."""
    for name, shape in dense(d, width) if width else ():
        yield name.replace(".", "_shexp."), shape


def delta_net(d: Dims) -> Iterator[Entry]:
    """A gated delta net (Qwen3-Next, Qwen3.5)."""
    size, heads = d.number("ssm.state_size"), d.number("ssm.time_step_rank")
    keys, values = size * d.number("ssm.group_count"), size * heads
    channels = 2 * keys + values
    yield "attn_qkv.weight", (d.embedding, channels)
    yield "attn_gate.weight", (d.embedding, values)
    yield "ssm_conv1d.weight", (d.number("ssm.conv_kernel"), channels)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (heads,)
    if d.architecture == "qwen3next":
        yield "ssm_ba.weight", (d.embedding, 2 * heads)
    else:
        yield "ssm_beta.weight", (d.embedding, heads)
        yield "ssm_alpha.weight", (d.embedding, heads)
    yield "ssm_norm.weight", (size,)
    yield "ssm_out.weight", (values, d.embedding)


def scan(d: Dims) -> Iterator[Entry]:
    """Mamba 2's."""
    inner, size = d.number("ssm.inner_size"), d.number("ssm.state_size")
    groups, heads = d.number("ssm.group_count"), d.number("ssm.time_step_rank")
    channels = inner + 2 * groups * size
    yield "ssm_in.weight", (d.embedding, inner + channels + heads)
    yield "ssm_conv1d.weight", (d.number("ssm.conv_kernel"), channels)
    yield "ssm_conv1d.bias", (channels,)
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (1, heads)
    yield "ssm_d", (1, heads)
    yield "ssm_norm.weight", (inner // groups, groups)
    yield "ssm_out.weight", (inner, d.embedding)


def compressed_attention(d: Dims, i: int) -> Iterator[Entry]:
    """DeepSeek V4's: keys only, a window of them and compressed ones before it."""
    heads, size, rank = d.heads(i), d.key_dim(), d.number("attention.q_lora_rank")
    groups = d.number("attention.output_group_count")
    output_rank = d.number("attention.output_lora_rank")
    yield "attn_sinks.weight", (heads,)
    yield "attn_q_a.weight", (d.embedding, rank)
    yield "attn_q_a_norm.weight", (rank,)
    yield "attn_q_b.weight", (rank, heads * size)
    yield "attn_kv.weight", (d.embedding, size)
    yield "attn_kv_a_norm.weight", (size,)
    yield "attn_output_a.weight", (heads * size // groups, output_rank * groups)
    yield "attn_output_b.weight", (groups * output_rank, d.embedding)
    ratio = d.at("attention.compress_ratios", i)
    if ratio:
        yield from _compressor(d, "attn_compressor", size * (2 if ratio == INDEXED else 1), ratio)
        yield "attn_compressor_norm.weight", (size,)
    if ratio == INDEXED:
        yield from _indexer(d, rank, ratio)


def _indexer(d: Dims, rank: int, ratio: int) -> Iterator[Entry]:
    size, heads = d.number("attention.indexer.key_length"), d.number("attention.indexer.head_count")
    yield "indexer.proj.weight", (d.embedding, heads)
    yield "indexer.attn_q_b.weight", (rank, heads * size)
    yield from _compressor(d, "indexer_compressor", 2 * size, ratio)
    yield "indexer_compressor_norm.weight", (size,)


def _compressor(d: Dims, name: str, width: int, ratio: int) -> Iterator[Entry]:
    yield f"{name}_kv.weight", (d.embedding, width)
    yield f"{name}_gate.weight", (d.embedding, width)
    yield f"{name}_ape.weight", (width, ratio)


def hyper_connections(d: Dims, *parts: str) -> Iterator[Entry]:
    """DeepSeek V4's several residual streams, and how they are mixed."""
    count = d.number("hyper_connection.count")
    mixes = (2 + count) * count
    for part in parts:
        yield f"hc_{part}_fn.weight", (count * d.embedding, mixes)
        yield f"hc_{part}_base.weight", (mixes,)
        yield f"hc_{part}_scale.weight", (3,)


def draft_parts(d: Dims) -> Iterable[Entry]:
    """What a block for drafts has on top."""
    yield "nextn.eh_proj.weight", (2 * d.embedding, d.embedding)
    yield from norms(d.embedding, "nextn.enorm", "nextn.hnorm")
