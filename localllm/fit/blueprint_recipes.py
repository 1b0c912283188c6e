"""What each architecture's tensor table consists of.

Source: llama.cpp, src/models/*.cpp (load_arch_tensors), October 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from localllm.fit import blueprint_parts as parts
from localllm.fit.blueprint_dims import Dims
from localllm.fit.blueprint_parts import Entry, norms

BASE = ("block_count", "embedding_length", "vocab_size")
HEADS = (*BASE, "attention.head_count")
DENSE = (*HEADS, "feed_forward_length")
EXPERTS = ("expert_count", "expert_feed_forward_length")
MLA = (
    "attention.kv_lora_rank",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "rope.dimension_count",
)
STATE = ("ssm.conv_kernel", "ssm.state_size", "ssm.time_step_rank", "ssm.group_count")
TOKEN_TYPES = 2
"""BERT's two kinds of sentences; no key of the architecture says it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an architecture's tensor table is made."""

    layer: Callable[[Dims, int], Iterable[Entry]]
    needs: tuple[str, ...]
    around: Callable[[Dims], Iterable[Entry]] | None = None
    """What there is beside the blocks, the token table and the output layer."""

    with_experts: tuple[str, ...] = ()
    """Needed in addition where there are experts."""

    encoder: bool = False
    """It has no output layer."""

    own_output: bool = False
    """The output layer is never the token table."""


def _llama(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.attention(d, i)
    if d.experts:
        yield from parts.experts(d)
    else:
        yield from parts.dense(d, d.feed_forward(i))


def _llama4(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.attention(d, i)
    if (i + 1) % d.number("interleave_moe_layer_step"):
        yield from parts.dense(d, d.feed_forward(i))
    else:
        yield from parts.experts(d)
        yield from parts.shared_expert(d, d.expert_width)


def _qwen2(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.attention(d, i, bias=True)
    yield from parts.dense(d, d.feed_forward(i))


def _qwen3(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.attention(d, i, head_norms=True)
    yield from parts.experts(d) if d.experts else parts.dense(d, d.feed_forward(i))


def _qwen35(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "post_attention_norm")
    if d.recurrent(i):
        yield from parts.delta_net(d)
    else:
        yield from parts.attention(d, i, head_norms=True, gated=True)
    if not d.experts:
        yield from parts.dense(d, d.feed_forward(i))
        return
    yield from parts.experts(d)
    yield "ffn_gate_inp_shexp.weight", (d.embedding,)
    yield from parts.shared_expert(d, d.shared_width)


def _gemma3(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    yield from parts.attention(d, i, head_norms=True)
    yield from parts.dense(d, d.feed_forward(i))


def _gemma4(d: Dims, i: int) -> Iterator[Entry]:
    own = d.number("embedding_length_per_layer_input", 0)
    yield from norms(d.embedding, "attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    skipped = _unused_in_gemma4(d, i, own)
    yield from (e for e in parts.attention(d, i, head_norms=True) if e[0] not in skipped)
    yield "layer_output_scale.weight", (1,)
    yield from parts.dense(d, d.feed_forward(i))
    if d.experts:
        yield from parts.experts(d, joined=True)
        yield "ffn_gate_inp.scale", (d.embedding,)
        yield "ffn_down_exps.scale", (d.experts,)
        yield from norms(d.embedding, "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2")
    if own:
        yield "inp_gate.weight", (d.embedding, own)
        yield "proj.weight", (own, d.embedding)
        yield "post_norm.weight", (d.embedding,)


def _unused_in_gemma4(d: Dims, i: int, own: int) -> tuple[str, ...]:
    """Values are the keys in layers that see everything, but for the small models."""
    if i >= d.blocks - d.number("attention.shared_kv_layers", 0):
        return ("attn_k.weight", "attn_v.weight", "attn_k_norm.weight")
    return () if own or d.windowed(i) else ("attn_v.weight",)


def _around_gemma4(d: Dims) -> Iterator[Entry]:
    own = d.number("embedding_length_per_layer_input", 0)
    if own:
        yield "per_layer_token_embd.weight", (own * d.blocks, d.vocabulary)
        yield "per_layer_model_proj.weight", (d.embedding, own * d.blocks)
        yield "per_layer_proj_norm.weight", (own,)
    yield "rope_freqs.weight", (d.number("attention.key_length") // 2,)


def _gpt_oss(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "post_attention_norm")
    yield from parts.attention(d, i, bias=True)
    yield "attn_output.bias", (d.embedding,)
    yield "attn_sinks.weight", (d.heads(i),)
    yield from parts.experts(d, bias=True)


def _phi3(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.joined_attention(d, i)
    yield "ffn_up.weight", (d.embedding, 2 * d.feed_forward(i))
    yield "ffn_down.weight", (d.feed_forward(i), d.embedding)


def _deepseek2(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.latent_attention(d, i)
    yield from _mixed_feed_forward(d, i)


def _glm4moe(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "post_attention_norm")
    yield from parts.attention(d, i, bias=True)
    yield from _mixed_feed_forward(d, i)


def _mixed_feed_forward(d: Dims, i: int) -> Iterator[Entry]:
    """Dense in the first layers, then experts of which every token uses one."""
    if i < d.number("leading_dense_block_count"):
        yield from parts.dense(d, d.feed_forward(i))
        return
    yield from parts.experts(d)
    yield "exp_probs_b.bias", (d.experts,)
    yield from parts.shared_expert(d, d.shared_width)


def _deepseek4(d: Dims, i: int) -> Iterator[Entry]:
    yield from norms(d.embedding, "attn_norm", "ffn_norm")
    yield from parts.compressed_attention(d, i)
    yield from parts.hyper_connections(d, "attn", "ffn")
    yield from parts.experts(d)
    if i < d.number("hash_layer_count"):
        yield "ffn_gate_tid2eid.weight", (d.number("expert_used_count"), d.vocabulary)
    else:
        yield "exp_probs_b.bias", (d.experts,)
    yield from parts.shared_expert(d, d.shared_width)


def _around_deepseek4(d: Dims) -> Iterator[Entry]:
    count = d.number("hyper_connection.count")
    yield "output_hc_fn.weight", (count * d.embedding, count)
    yield "output_hc_base.weight", (count,)
    yield "output_hc_scale.weight", (1,)


def _mamba2(d: Dims, i: int) -> Iterator[Entry]:  # noqa: ARG001
    yield from norms(d.embedding, "attn_norm")
    yield from parts.scan(d)


def _bert(d: Dims, i: int) -> Iterator[Entry]:
    yield from parts.attention(d, i, bias=True)
    yield "attn_output.bias", (d.embedding,)
    yield from norms(d.embedding, "attn_output_norm", "layer_output_norm", bias=True)
    width = d.feed_forward(i)
    yield "ffn_up.weight", (d.embedding, width)
    yield "ffn_up.bias", (width,)
    yield "ffn_down.weight", (width, d.embedding)
    yield "ffn_down.bias", (d.embedding,)


def _nomic_bert(d: Dims, i: int) -> Iterator[Entry]:
    yield from parts.attention(d, i)
    yield from norms(d.embedding, "attn_output_norm", "layer_output_norm", bias=True)
    yield from parts.dense(d, d.feed_forward(i))


def _around_encoder(d: Dims) -> Iterator[Entry]:
    yield "token_types.weight", (d.embedding, TOKEN_TYPES)
    if d.architecture == "bert":
        yield "position_embd.weight", (d.embedding, d.number("context_length"))
    yield from norms(d.embedding, "token_embd_norm", bias=True)


_LLAMA = Recipe(_llama, DENSE)
_QWEN35 = Recipe(_qwen35, (*HEADS, *STATE), with_experts=EXPERTS[1:])
_LEADING = ("leading_dense_block_count", *EXPERTS)
RECIPES: Mapping[str, Recipe] = {
    "bert": Recipe(_bert, (*DENSE, "context_length"), _around_encoder, encoder=True),
    "deepseek2": Recipe(_deepseek2, (*HEADS, *MLA, *_LEADING)),
    "deepseek4": Recipe(
        _deepseek4,
        (
            *HEADS,
            *EXPERTS,
            "attention.key_length",
            "attention.q_lora_rank",
            "attention.output_lora_rank",
            "attention.output_group_count",
            "attention.compress_ratios",
            "attention.indexer.head_count",
            "attention.indexer.key_length",
            "hyper_connection.count",
            "hash_layer_count",
            "expert_used_count",
        ),
        _around_deepseek4,
        own_output=True,
    ),
    "gemma-embedding": Recipe(_gemma3, DENSE),
    "gemma3": Recipe(_gemma3, DENSE),
    "gemma4": Recipe(
        _gemma4,
        (*DENSE, "attention.key_length", "attention.sliding_window_pattern"),
        _around_gemma4,
        with_experts=EXPERTS[1:],
    ),
    "glm4moe": Recipe(_glm4moe, (*HEADS, *_LEADING)),
    "gpt-oss": Recipe(_gpt_oss, (*HEADS, *EXPERTS), own_output=True),
    "granite": _LLAMA,
    "llama": _LLAMA,
    "llama4": Recipe(_llama4, (*HEADS, *EXPERTS, "interleave_moe_layer_step")),
    "mamba2": Recipe(_mamba2, (*BASE, *STATE, "ssm.inner_size")),
    "mistral3": _LLAMA,
    "nomic-bert": Recipe(_nomic_bert, DENSE, _around_encoder, encoder=True),
    "phi3": Recipe(_phi3, DENSE),
    "qwen2": Recipe(_qwen2, DENSE),
    "qwen3": Recipe(_qwen3, DENSE),
    "qwen35": _QWEN35,
    "qwen35moe": _QWEN35,
    "qwen3moe": Recipe(_qwen3, (*HEADS, *EXPERTS)),
    "qwen3next": _QWEN35,
    "smollm3": _LLAMA,
}
"""By llama.cpp's name of the architecture."""
