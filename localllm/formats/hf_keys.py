"""A config's hyper-parameters under GGUF's keys, as llama.cpp's conversion would write them.

Source: llama.cpp, conversion/base.py and the file of each family beside it.
"""

from __future__ import annotations

from collections.abc import Mapping

from localllm.formats.header import Value
from localllm.formats.hf_architectures import LATENT, LINEAR
from localllm.formats.hf_config import Config, bad_config
from localllm.formats.hf_recurrent import linear_keys, recurrent_keys

MAX_LAYERS = 10_000

NUMBERS: Mapping[str, tuple[str, ...]] = {
    "context_length": (
        "max_position_embeddings",
        "n_ctx",
        "n_positions",
        "max_sequence_length",
        "model_max_length",
    ),
    "embedding_length": ("hidden_size", "n_embd", "d_model", "dim"),
    "feed_forward_length": ("intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_dim"),
    "attention.head_count": ("num_attention_heads", "n_heads", "n_head"),
    "attention.head_count_kv": ("num_key_value_heads", "n_kv_heads"),
    "attention.key_length": ("head_dim", "attention_head_dim"),
    "attention.value_length": ("head_dim", "attention_head_dim"),
    "attention.q_lora_rank": ("q_lora_rank",),
    "attention.kv_lora_rank": ("kv_lora_rank",),
    "attention.output_lora_rank": ("o_lora_rank",),
    "attention.output_group_count": ("o_groups",),
    "attention.indexer.head_count": ("index_n_heads",),
    "attention.indexer.key_length": ("index_head_dim",),
    "attention.indexer.top_k": ("index_topk",),
    "attention.shared_kv_layers": ("num_kv_shared_layers",),
    "embedding_length_per_layer_input": ("hidden_size_per_layer_input",),
    "expert_count": ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"),
    "expert_used_count": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "top_k_experts",
        "moe_k",
    ),
    "expert_feed_forward_length": ("moe_intermediate_size", "expert_intermediate_size"),
    "expert_shared_count": ("n_shared_experts", "num_shared_experts"),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "expert_group_count": ("n_group",),
    "expert_group_used_count": ("topk_group",),
    "leading_dense_block_count": ("first_k_dense_replace",),
    "hyper_connection.count": ("hc_mult",),
    "full_attention_interval": ("full_attention_interval",),
    "vocab_size": ("vocab_size", "padded_vocab_size"),
}
"""GGUF's key, and the names that mean it; the first that is stated counts."""

WINDOWED = frozenset({"sliding_attention", "chunked_attention"})
ZERO_IS_NONE = frozenset(
    {"expert_count", "expert_used_count", "expert_shared_count", "embedding_length_per_layer_input"}
)


def gguf_keys(config: Config, architecture: str) -> dict[str, Value]:
    """Make the keys of an architecture, its name not in front; what is not stated is left out.

    Raises:
        BadModelFile: A number is none, or lists do not fit the count of layers.
    """
    layers = config.number("num_hidden_layers", "n_layers", "n_layer", "num_layers")
    if not layers or layers > MAX_LAYERS:
        raise bad_config(f"it has {layers or 'no'} layers, where 1 to {MAX_LAYERS} are allowed")
    keys: dict[str, Value] = {"block_count": layers}
    for key, names in NUMBERS.items():
        found = config.number(*names)
        if found is not None and not (found == 0 and key in ZERO_IS_NONE):
            keys[key] = found
    keys |= _windows(config, architecture, layers)
    keys |= _rotated(config, keys)
    if architecture in LATENT and "attention.kv_lora_rank" in keys:
        keys |= _latent(config)
    if architecture in LINEAR:
        keys |= linear_keys(config, layers)
    keys |= recurrent_keys(config, architecture, layers)
    keys |= _of_family(config, architecture, layers)
    return keys


def _windows(config: Config, architecture: str, layers: int) -> dict[str, Value]:
    keys: dict[str, Value] = {}
    chunk = config.number("attention_chunk_size") if architecture == "llama4" else None
    window = chunk or config.number("sliding_window")
    if not window or config.flag("use_sliding_window") is False:
        return keys
    keys["attention.sliding_window"] = window
    kinds = config.texts("layer_types")
    if kinds and WINDOWED & set(kinds):
        if len(kinds) < layers:
            raise bad_config(f"it tells the kind of {len(kinds)} layers, and there are {layers}")
        keys["attention.sliding_window_pattern"] = tuple(int(k in WINDOWED) for k in kinds[:layers])
    elif period := config.number("sliding_window_pattern", "_sliding_window_pattern"):
        keys["attention.sliding_window_pattern"] = period
    return keys


def _rotated(config: Config, keys: Mapping[str, Value]) -> dict[str, Value]:
    """How many numbers of a head are rotated by its place."""
    stated = config.number("qk_rope_head_dim", "rotary_dim")
    if stated:
        return {"rope.dimension_count": stated}
    share = config.fraction("partial_rotary_factor")
    rope = config.part("rope_parameters")
    if share is None and rope is not None:
        share = rope.fraction("partial_rotary_factor")
    head = keys.get("attention.key_length")
    if share is None or not isinstance(head, int):
        return {}
    return {"rope.dimension_count": int(head * share)}


def _latent(config: Config) -> dict[str, Value]:
    """Attention with one compressed vector per token, read as keys and as values.

    Source: conversion/deepseek.py, DeepseekV2Model.set_gguf_parameters.
    """
    rank, rotated = config.number("kv_lora_rank") or 0, config.number("qk_rope_head_dim") or 0
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": rank + rotated,
        "attention.value_length": rank,
        "attention.key_length_mla": (config.number("qk_nope_head_dim") or 0) + rotated,
        "attention.value_length_mla": config.number("v_head_dim") or 0,
        "rope.dimension_count": rotated,
    }


def _of_family(config: Config, architecture: str, layers: int) -> dict[str, Value]:
    match architecture:
        case "gemma4":
            return _gemma4(config, layers)
        case "gpt-oss":
            return {"expert_feed_forward_length": config.number("intermediate_size") or 0}
        case "llama4":
            return {
                "expert_feed_forward_length": config.number("intermediate_size") or 0,
                "interleave_moe_layer_step": config.number("interleave_moe_layer_step") or 1,
            }
        case "deepseek4":
            ratios = config.numbers("compress_ratios")
            return {} if ratios is None else {"attention.compress_ratios": ratios}
        case _:
            return {}


def _gemma4(config: Config, layers: int) -> dict[str, Value]:
    """Layers that see everything have wider heads, and fewer.

    Source: conversion/gemma.py, Gemma4Model.set_gguf_parameters.
    """
    keys: dict[str, Value] = {}
    narrow, wide = config.number("head_dim"), config.number("global_head_dim")
    if narrow:
        keys |= dict.fromkeys(("attention.key_length_swa", "attention.value_length_swa"), narrow)
        keys |= dict.fromkeys(("attention.key_length", "attention.value_length"), wide or narrow)
    kinds = config.texts("layer_types")
    heads, few = (
        config.number("num_key_value_heads"),
        config.number("num_global_key_value_heads"),
    )
    if heads and few and len(kinds) >= layers:
        keys["attention.head_count_kv"] = tuple(
            heads if kind in WINDOWED else few for kind in kinds[:layers]
        )
    shared = config.number("num_kv_shared_layers") or 0
    width = config.number("intermediate_size")
    if width and config.flag("use_double_wide_mlp"):
        keys["feed_forward_length"] = tuple(
            width if i < layers - shared else 2 * width for i in range(layers)
        )
    return keys
