"""Keys of models that keep a state instead of a cache, in all layers or in most.

Source: llama.cpp, conversion/qwen.py (Qwen3NextModel), mamba.py, granite.py, nemotron.py, lfm2.py,
falcon_h1.py, kimi_linear.py.
"""

from __future__ import annotations

from localllm.formats.header import Value
from localllm.formats.hf_config import Config, bad_config


def linear_keys(config: Config, layers: int) -> dict[str, Value]:
    """Layers with a gated delta net, as of Qwen 3.5 and 3 Next."""
    heads, width = config.number("linear_num_value_heads"), config.number("linear_value_head_dim")
    state, groups = config.number("linear_key_head_dim"), config.number("linear_num_key_heads")
    if not (heads and width and state and groups):
        raise bad_config("it does not say what its linear attention keeps")
    keys: dict[str, Value] = {
        "ssm.conv_kernel": config.number("linear_conv_kernel_dim") or 4,
        "ssm.inner_size": heads * width,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads,
        "ssm.group_count": groups,
        "full_attention_interval": config.number("full_attention_interval") or 4,
    }
    kinds = config.texts("layer_types")
    if len(kinds) >= layers:
        keys["attention.recurrent_layers"] = tuple(
            int(kind == "linear_attention") for kind in kinds[:layers]
        )
    return keys


def recurrent_keys(config: Config, architecture: str, layers: int) -> dict[str, Value]:
    """Keys of the other families that have recurrent layers; empty for all others."""
    match architecture:
        case "mamba" | "mamba2":
            return _state_space(config, "") | {
                "attention.head_count": 0,
                "vocab_size": _rows(config),
            }
        case "granitehybrid" | "falcon-h1" | "jamba":
            return _state_space(config, "mamba_") | _attending(config, architecture, layers)
        case "nemotron_h":
            return _state_space(config, "mamba_") | _nemotron(config, layers)
        case "lfm2" | "lfm2moe":
            return {"shortconv.l_cache": config.number("conv_L_cache") or 3} | _attending(
                config, architecture, layers
            )
        case "kimi-linear":
            return _kimi_linear(config, layers)
        case _:
            return {}


def _rows(config: Config) -> int:
    """Rows of the token table, which these families round up."""
    step = config.number("pad_vocab_size_multiple") or 8
    return -(-(config.number("vocab_size") or 0) // step) * step


def _state_space(config: Config, prefix: str) -> dict[str, Value]:
    embedding = config.number("hidden_size", "d_model") or 0
    heads = config.number(f"{prefix}n_heads", f"{prefix}num_heads", "num_heads")
    head = config.number(f"{prefix}d_head", f"{prefix}head_dim", "head_dim")
    expand = config.number(f"{prefix}expand", "expand") or 2
    inner = config.number(f"{prefix}d_ssm") or (
        heads * head if heads and head else expand * embedding
    )
    return {
        "ssm.conv_kernel": config.number(f"{prefix}d_conv", "conv_kernel", "d_conv") or 4,
        "ssm.inner_size": inner,
        "ssm.state_size": config.number(f"{prefix}d_state", "ssm_state_size", "state_size") or 16,
        "ssm.group_count": config.number(f"{prefix}n_groups", "n_groups") or 0,
        "ssm.time_step_rank": heads
        or config.number(f"{prefix}dt_rank", "time_step_rank")
        or -(-embedding // 16),
    }


def _attending(config: Config, architecture: str, layers: int) -> dict[str, Value]:
    """Heads of each layer, where those without are the recurrent ones."""
    heads = config.number("num_key_value_heads", "num_attention_heads") or 0
    if architecture == "falcon-h1":
        return {}
    kinds = config.texts("layer_types") or config.texts("layers_block_type")
    if len(kinds) >= layers:
        attends = [kind in {"attention", "full_attention"} for kind in kinds[:layers]]
    elif listed := config.numbers("full_attn_idxs"):
        attends = [i in listed for i in range(layers)]
    elif period := config.number("attn_layer_period"):
        offset = config.number("attn_layer_offset") or 0
        attends = [i % period == offset for i in range(layers)]
    else:
        return {}
    return {"attention.head_count_kv": tuple(heads if each else 0 for each in attends)}


def _nemotron(config: Config, layers: int) -> dict[str, Value]:
    """One letter per layer: M has a state, * attends, - and E are feed-forward parts alone."""
    pattern = config.values.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or len(pattern) < layers:
        raise bad_config("its hybrid_override_pattern does not tell the kind of each layer")
    heads = config.number("num_key_value_heads") or 0
    width = config.number("intermediate_size") or 0
    return {
        "attention.head_count_kv": tuple(heads if c == "*" else 0 for c in pattern[:layers]),
        "feed_forward_length": tuple(width if c in "-E" else 0 for c in pattern[:layers]),
    }


def _kimi_linear(config: Config, layers: int) -> dict[str, Value]:
    linear = config.part("linear_attn_config")
    listed = None if linear is None else linear.numbers("full_attn_layers")
    if linear is None or listed is None:
        raise bad_config("it does not say which of its layers attend")
    rank, rotated = config.number("kv_lora_rank") or 0, config.number("qk_rope_head_dim") or 0
    return {
        "kda.head_dim": linear.number("head_dim") or 0,
        "ssm.conv_kernel": linear.number("short_conv_kernel_size") or 4,
        "attention.head_count_kv": tuple(int(i + 1 in listed) for i in range(layers)),
        "attention.key_length": rank + rotated,
        "attention.value_length": rank,
        "attention.key_length_mla": (config.number("qk_nope_head_dim") or 0) + rotated,
        "attention.value_length_mla": config.number("v_head_dim") or 0,
    }
