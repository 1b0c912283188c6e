"""A config.json and tensors make the header that the same model's GGUF would have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import process_time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.fit.shape import shape_of
from localllm.formats.errors import BadModelFile
from localllm.formats.header import Format, Header, Value
from localllm.formats.hf_architectures import ARCHITECTURES
from localllm.formats.hf_header import header_from_config
from tests.unit.formats.a_safetensors import Described, parsed

LLAMA: Mapping[str, object] = {
    "model_type": "llama",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "vocab_size": 96,
    "rope_theta": 10000.0,
}


def of(config: Mapping[str, object], tensors: Described | None = None) -> Header:
    return header_from_config(
        json.dumps(config).encode(), parsed(tensors or {}), file_bytes=1000, files=3
    )


def keys(header: Header) -> dict[str, Value]:
    return {
        key.removeprefix(f"{header.architecture}."): value
        for key, value in header.metadata.items()
        if not key.startswith("general.")
    }


def test_a_llama_has_gguf_fields_and_keys() -> None:
    header = of(LLAMA)

    assert (header.architecture, header.format, header.quantization) == (
        "llama",
        Format.SAFETENSORS,
        None,
    )
    assert (header.layers, header.embedding, header.feed_forward) == (2, 64, 128)
    assert (header.heads, header.heads_kv, header.key_dim, header.value_dim) == (4, (2, 2), 16, 16)
    assert (header.vocabulary, header.context_trained) == (96, 4096)
    assert (header.file_bytes, header.files, header.has_chat_template) == (1000, 3, False)
    assert keys(header) == {
        "block_count": 2,
        "context_length": 4096,
        "embedding_length": 64,
        "feed_forward_length": 128,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "vocab_size": 96,
    }


FAMILIES: dict[str, tuple[dict[str, object], str, dict[str, Value]]] = {
    "gpt-oss alternates windows": (
        {
            "model_type": "gpt_oss",
            "head_dim": 32,
            "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"],
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
        },
        "gpt-oss",
        {
            "attention.key_length": 32,
            "attention.sliding_window": 128,
            "attention.sliding_window_pattern": (1, 0),
            "expert_count": 32,
            "expert_used_count": 4,
            "expert_feed_forward_length": 128,
        },
    ),
    "Gemma 3 counts its windows": (
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "num_hidden_layers": 34,
                "hidden_size": 2560,
                "sliding_window": 1024,
                "sliding_window_pattern": 6,
            },
            "num_hidden_layers": None,
        },
        "gemma3",
        {
            "attention.sliding_window": 1024,
            "attention.sliding_window_pattern": 6,
            "attention.head_count": 8,
            "attention.key_length": 256,
            "vocab_size": 262_208,
        },
    ),
    "Gemma 4 has wide heads where it sees everything": (
        {
            "model_type": "gemma4",
            "text_config": {
                **LLAMA,
                "model_type": "gemma4_text",
                "head_dim": 16,
                "global_head_dim": 32,
                "num_global_key_value_heads": 1,
                "num_kv_shared_layers": 1,
                "use_double_wide_mlp": True,
                "hidden_size_per_layer_input": 8,
                "sliding_window": 512,
                "layer_types": ["sliding_attention", "full_attention"],
            },
        },
        "gemma4",
        {
            "attention.key_length": 32,
            "attention.key_length_swa": 16,
            "attention.head_count_kv": (2, 1),
            "attention.shared_kv_layers": 1,
            "attention.sliding_window_pattern": (1, 0),
            "feed_forward_length": (128, 256),
            "embedding_length_per_layer_input": 8,
        },
    ),
    "DeepSeek keeps one compressed vector": (
        {
            "model_type": "deepseek_v3",
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "n_shared_experts": 1,
            "moe_intermediate_size": 48,
            "first_k_dense_replace": 1,
        },
        "deepseek2",
        {
            "attention.head_count_kv": 1,
            "attention.kv_lora_rank": 512,
            "attention.key_length": 576,
            "attention.value_length": 512,
            "attention.key_length_mla": 192,
            "attention.value_length_mla": 128,
            "rope.dimension_count": 64,
            "expert_count": 256,
            "expert_shared_count": 1,
            "expert_feed_forward_length": 48,
            "leading_dense_block_count": 1,
        },
    ),
    "GLM Flash is a DeepSeek": ({"model_type": "glm4_moe_lite"}, "deepseek2", {}),
    "Qwen 3.5 has linear attention": (
        {
            "model_type": "qwen3_5_moe",
            "text_config": {
                **LLAMA,
                "model_type": "qwen3_5_moe_text",
                "head_dim": 256,
                "linear_num_value_heads": 32,
                "linear_num_key_heads": 16,
                "linear_key_head_dim": 128,
                "linear_value_head_dim": 128,
                "linear_conv_kernel_dim": 4,
                "full_attention_interval": 2,
                "layer_types": ["linear_attention", "full_attention"],
                "rope_parameters": {"partial_rotary_factor": 0.25},
                "num_experts": 256,
                "num_experts_per_tok": 8,
                "shared_expert_intermediate_size": 512,
            },
        },
        "qwen35moe",
        {
            "ssm.inner_size": 4096,
            "ssm.state_size": 128,
            "ssm.group_count": 16,
            "ssm.time_step_rank": 32,
            "ssm.conv_kernel": 4,
            "full_attention_interval": 2,
            "attention.recurrent_layers": (1, 0),
            "rope.dimension_count": 64,
            "expert_shared_feed_forward_length": 512,
        },
    ),
    "DeepSeek V4 compresses": (
        {
            "model_type": "deepseek_v4",
            "head_dim": 512,
            "qk_rope_head_dim": 64,
            "compress_ratios": [0, 4],
            "index_head_dim": 128,
            "index_n_heads": 64,
            "index_topk": 512,
            "sliding_window": 128,
            "hc_mult": 4,
        },
        "deepseek4",
        {
            "attention.compress_ratios": (0, 4),
            "attention.indexer.key_length": 128,
            "attention.sliding_window": 128,
            "rope.dimension_count": 64,
            "hyper_connection.count": 4,
        },
    ),
    "Llama 4 attends in chunks": (
        {
            "model_type": "llama4",
            "text_config": {
                **LLAMA,
                "model_type": "llama4_text",
                "attention_chunk_size": 8192,
                "intermediate_size_mlp": 256,
                "num_local_experts": 16,
            },
        },
        "llama4",
        {
            "attention.sliding_window": 8192,
            "feed_forward_length": 256,
            "expert_feed_forward_length": 128,
            "expert_count": 16,
        },
    ),
    "LFM2 has layers without heads": (
        {
            "model_type": "lfm2",
            "layer_types": ["conv", "full_attention"],
            "conv_L_cache": 3,
        },
        "lfm2",
        {"attention.head_count_kv": (0, 2), "shortconv.l_cache": 3},
    ),
    "Nemotron H has one letter per layer": (
        {
            "model_type": "nemotron_h",
            "hybrid_override_pattern": "M*",
            "mamba_num_heads": 8,
            "mamba_head_dim": 16,
            "ssm_state_size": 64,
            "n_groups": 2,
        },
        "nemotron_h",
        {
            "attention.head_count_kv": (0, 2),
            "feed_forward_length": (0, 0),
            "ssm.inner_size": 128,
            "ssm.state_size": 64,
            "ssm.group_count": 2,
        },
    ),
    "a window that is switched off is none": (
        {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False},
        "qwen2",
        {},
    ),
    "Mistral is a Llama": ({"model_type": "mistral", "head_dim": None}, "llama", {}),
    "a type that nobody knows keeps its name": ({"model_type": "new_one"}, "new_one", {}),
}


@pytest.mark.parametrize(("changes", "architecture", "expected"), FAMILIES.values(), ids=FAMILIES)
def test_of_each_family_gguf_keys_are_known(
    changes: dict[str, object], architecture: str, expected: dict[str, Value]
) -> None:
    header = of({**LLAMA, **changes})

    found = keys(header)
    assert header.architecture == architecture
    assert {key: found.get(key) for key in expected} == expected
    assert "attention.sliding_window" in found or "attention.sliding_window" not in expected
    if "switched off" in str(changes) or architecture == "qwen2":
        assert "attention.sliding_window" not in found


def test_a_mamba_has_no_heads() -> None:
    header = of({"model_type": "mamba2", "num_hidden_layers": 2, "hidden_size": 64, "expand": 2,
                 "state_size": 128, "n_groups": 1, "num_heads": 8, "head_dim": 16,
                 "vocab_size": 90, "pad_vocab_size_multiple": 16})  # fmt: skip

    assert (header.heads, header.heads_kv, header.vocabulary) == (0, (0, 0), 96)
    assert keys(header)["ssm.inner_size"] == 128


def test_every_architecture_is_one_that_llama_cpp_has() -> None:
    gguf = pytest.importorskip("gguf")  # the tests' second opinion, always installed with them
    newer = {"deepseek32", "deepseek4", "gemma4", "glm-dsa", "qwen4exp"}

    assert set(ARCHITECTURES.values()) - set(gguf.MODEL_ARCH_NAMES.values()) <= newer


TIED: Described = {
    "model.embed_tokens.weight": ("BF16", (96, 64)),
    "model.layers.0.self_attn.q_proj.weight": ("BF16", (64, 64)),
    "model.layers.0.mlp.down_proj.weight": ("BF16", (64, 128)),
    "model.norm.weight": ("BF16", (64,)),
    "lm_head.weight": ("BF16", (96, 64)),
}


def test_tensors_have_gguf_names() -> None:
    header = of(LLAMA, TIED)

    assert [(t.name, t.shape) for t in header.tensors] == [
        ("token_embd.weight", (64, 96)),
        ("blk.0.attn_q.weight", (64, 64)),
        ("blk.0.ffn_down.weight", (128, 64)),
        ("output_norm.weight", (64,)),
        ("output.weight", (64, 96)),
    ]
    assert header.quantization == "BF16"
    assert header.parameters * 2 == header.weights_bytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.1.mlp.experts.3.down_proj.weight", "blk.1.ffn_down_exps.3.down_proj.weight"),
        ("model.layers.1.mlp.switch_mlp.up_proj.weight", "blk.1.ffn_up_exps.up_proj.weight"),
        ("language_model.model.layers.0.mlp.experts.gate_up_proj", None),
        ("model.language_model.layers.0.mlp.shared_expert.up_proj.weight", "blk.0.ffn_up_shexp.weight"),
        ("model.layers.0.mlp.shared_experts.up_proj.weight", "blk.0.ffn_up_shexp.weight"),
        ("model.language_model.embed_tokens.weight", "token_embd.weight"),
        ("vision_tower.encoder.layers.0.mlp.fc2.weight", "vision_tower.encoder.layers.0.mlp.fc2.weight"),
        ("model.visual.blocks.0.attn.qkv.weight", "model.visual.blocks.0.attn.qkv.weight"),
        ("weight", "weight"),
    ],
)  # fmt: skip
def test_a_tensors_name_is_gguf_s(name: str, expected: str | None) -> None:
    (tensor,) = of(LLAMA, {name: ("BF16", (4, 4))}).tensors

    assert tensor.name == (expected or "blk.0.ffn_up_exps.gate_up_proj")


def test_drafts_layers_are_counted_where_the_files_have_them() -> None:
    config = {**LLAMA, "mtp_num_hidden_layers": 1}

    assert (of(config).layers, of(config, {"mtp.layers.0.a.weight": ("F32", (1,))}).layers) == (
        2,
        3,
    )
    assert keys(of(LLAMA, {"model.layers.2.a": ("F32", (1,))}))["nextn_predict_layers"] == 1
    assert of(LLAMA, {"mtp.fc.weight": ("F32", (1,))}).heads_kv == (2, 2, 2)


MLX = {**LLAMA, "quantization": {"group_size": 64, "bits": 4}}
Q = "model.layers.0.self_attn.q_proj"


def test_mlx_is_known_by_its_quantization_and_its_scales_are_part_of_the_tensor() -> None:
    header = of(
        MLX, {f"{Q}.weight": ("U32", (64, 8)), f"{Q}.scales": ("BF16", (64, 1)), f"{Q}.biases": ("BF16", (64, 1))}
    )  # fmt: skip

    (tensor,) = header.tensors
    assert (header.format, header.quantization) == (Format.MLX, "4bit")
    assert (tensor.name, tensor.type, tensor.shape) == ("blk.0.attn_q.weight", "4bit", (64, 64))
    assert tensor.size_bytes == 64 * 64 * 4.5 / 8
    assert header.parameters == 4096


def test_an_mlx_layer_may_have_bits_of_its_own() -> None:
    config = {
        **LLAMA,
        "quantization": {"group_size": 64, "bits": 4, Q: {"bits": 8}, "model.norm": False},
    }

    (tensor,) = of(
        config, {f"{Q}.weight": ("U32", (64, 16)), f"{Q}.scales": ("BF16", (64, 1))}
    ).tensors

    assert (tensor.type, tensor.shape) == ("8bit", (64, 64))


U8, I32 = "U8", "I32"
QUANTIZED: dict[str, tuple[dict[str, object], Described, str, int]] = {
    "MLX's MXFP4": (
        {"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}},
        {f"{Q}.weight": ("U32", (64, 8)), f"{Q}.scales": (U8, (64, 2))},
        "MXFP4",
        4096,
    ),
    "FP8": (
        {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
        {f"{Q}.weight": ("F8_E4M3", (64, 64)), f"{Q}.weight_scale_inv": ("F32", (1, 1))},
        "FP8",
        4096,
    ),
    "AWQ": (
        {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64}},
        {f"{Q}.qweight": (I32, (64, 8)), f"{Q}.qzeros": (I32, (1, 8)), f"{Q}.scales": ("F16", (1, 64))},
        "AWQ",
        4096,
    ),
    "GPTQ": (
        {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": 64}},
        {f"{Q}.qweight": (I32, (16, 64)), f"{Q}.g_idx": (I32, (64,)), f"{Q}.scales": ("F16", (1, 64))},
        "GPTQ",
        4096,
    ),
    "ModelOpt's NVFP4": (
        {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}},
        {f"{Q}.weight": (U8, (64, 32)), f"{Q}.weight_scale": ("F8_E4M3", (64, 4)), f"{Q}.weight_scale_2": ("F32", ())},
        "NVFP4",
        4096,
    ),
    "compressed tensors' NVFP4": (
        {"quantization_config": {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}},
        {f"{Q}.weight_packed": (U8, (64, 32)), f"{Q}.weight_scale": ("F8_E4M3", (64, 4))},
        "NVFP4",
        4096,
    ),
    "compressed tensors' 4 bits": (
        {"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized",
                                 "config_groups": {"group_0": {"weights": {"num_bits": 4}}}}},
        {f"{Q}.weight_packed": (I32, (64, 8)), f"{Q}.weight_scale": ("BF16", (64, 2)), f"{Q}.weight_shape": ("I64", (2,))},
        "INT4",
        4096,
    ),
    "gpt-oss's MXFP4": (
        {"quantization_config": {"quant_method": "mxfp4"}},
        {"model.layers.0.mlp.experts.down_proj_blocks": (U8, (4, 64, 2, 16)),
         "model.layers.0.mlp.experts.down_proj_scales": (U8, (4, 64, 2))},
        "MXFP4",
        4 * 64 * 64,
    ),
    "DeepSeek V4's FP4 experts beside FP8": (
        {"quantization_config": {"quant_method": "fp8"}},
        {"layers.0.ffn.experts.1.w2.weight": ("I8", (64, 32)), "layers.0.ffn.experts.1.w2.scale": ("F8_E8M0", (64, 2))},
        "FP8",
        4096,
    ),
    "half precision": ({}, {f"{Q}.weight": ("F16", (64, 64))}, "F16", 4096),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "tensors", "name", "numbers"), QUANTIZED.values(), ids=QUANTIZED
)
def test_packed_numbers_are_counted_once_and_their_bytes_exactly(
    changes: dict[str, object], tensors: Described, name: str, numbers: int
) -> None:
    header = of({**LLAMA, **changes}, tensors)

    assert header.quantization == name
    assert header.parameters == numbers
    assert len(header.tensors) == 1
    assert header.weights_bytes == sum(t.size_bytes for t in parsed(tensors))


MIB = 1 << 20
KINDS = ["sliding_attention"] * 5 + ["full_attention"]
MEMORY: dict[str, tuple[dict[str, object], float, float]] = {
    "Qwen 3.6 35B-A3B": (
        {"model_type": "qwen3_5_moe_text", "num_hidden_layers": 40, "hidden_size": 2048,
         "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
         "linear_num_value_heads": 32, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
         "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4},
        640.0,
        62.8125,
    ),
    "Gemma 4 31B, its layers without a window": (
        {"model_type": "gemma4_text", "num_hidden_layers": 60, "hidden_size": 5376,
         "num_attention_heads": 32, "num_key_value_heads": 16, "num_global_key_value_heads": 4,
         "head_dim": 256, "global_head_dim": 512, "sliding_window": 1024,
         "layer_types": KINDS * 10},
        2560.0,
        0.0,
    ),
    "GLM 4.7 Flash": (
        {"model_type": "glm4_moe_lite", "num_hidden_layers": 47, "hidden_size": 2048,
         "num_attention_heads": 20, "num_key_value_heads": 20, "kv_lora_rank": 512,
         "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256},
        1692.0,
        0.0,
    ),
    "Qwen 3 32B": (
        {"model_type": "qwen3", "num_hidden_layers": 64, "hidden_size": 5120,
         "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128},
        8192.0,
        0.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "cache_mib", "state_mib"), MEMORY.values(), ids=MEMORY)
def test_the_memory_formulas_see_what_llama_cpp_logs_for_the_same_model_as_gguf(
    config: dict[str, object], cache_mib: float, state_mib: float
) -> None:
    layers = shape_of(of({"vocab_size": 1000, **config})).layers

    numbers = sum(layer.key + layer.value for layer in layers if not layer.windowed)
    assert numbers * 2 * 32_768 / MIB == cache_mib
    assert sum(layer.state for layer in layers) * 4 / MIB == state_mib


def test_infinities_that_python_writes_are_read_as_unknown() -> None:
    text = json.dumps({**LLAMA, "time_step_limit": [0.0, float("inf")], "x": float("nan")})

    assert header_from_config(text.encode(), (), file_bytes=1).layers == 2


BROKEN = {
    "empty": (b"", "truncated"),
    "no object": (b"[]", "object"),
    "not UTF-8": (b'{"\xff": 1}', "."),
    "nested too deeply": (b'{"a":' * 150_000, "nested"),
    "too long": (b" " * 2_000_000, "allowed"),
    "no type": ({"model_type": None}, "model_type"),
    "a type of a thousand letters": ({"model_type": "x" * 1000}, "model_type"),
    "no layers": ({"num_hidden_layers": None}, "no layers"),
    "four billion layers": ({"num_hidden_layers": 1 << 32}, "32 bits"),
    "a million layers": ({"num_hidden_layers": 1_000_000}, "layers"),
    "layers below zero": ({"num_hidden_layers": -1}, "whole number"),
    "half a layer": ({"num_hidden_layers": 1.5}, "whole number"),
    "layers that are true": ({"num_hidden_layers": True}, "whole number"),
    "layers that are a text": ({"num_hidden_layers": "2"}, "whole number"),
    "no embedding": ({"hidden_size": None}, "hidden_size"),
    "no heads": ({"num_attention_heads": None}, "num_attention_heads"),
    "more heads than numbers": ({"num_attention_heads": 65}, "share"),
    "no vocabulary": ({"vocab_size": None}, "vocab_size"),
    "kinds of too few layers": (
        {"sliding_window": 8, "layer_types": ["sliding_attention"]},
        "kind of 1 layers",
    ),
    "0 bits": ({"quantization": {"bits": 99}}, "99 bits"),
    "a list of texts": ({"model_type": "deepseek_v4", "compress_ratios": ["a"]}, "whole numbers"),
    "linear attention of nothing": ({"model_type": "qwen3_next"}, "linear attention"),
    "letters of too few layers": ({"model_type": "nemotron_h"}, "each layer"),
}


@pytest.mark.parametrize(("changes", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_config_is_refused_with_what_is_wrong(
    changes: dict[str, object] | bytes, says: str
) -> None:
    data = changes if isinstance(changes, bytes) else json.dumps({**LLAMA, **changes}).encode()
    began = process_time()

    with pytest.raises(BadModelFile, match=says):
        header_from_config(data, (), file_bytes=1)

    assert process_time() - began < 0.25


def test_a_tensor_of_a_layer_far_beyond_is_refused() -> None:
    with pytest.raises(BadModelFile, match="layer 99999"):
        of(LLAMA, {"model.layers.99999.a": ("F32", (1,))})


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip
NAMES = st.sampled_from(
    [*LLAMA, "text_config", "quantization", "quantization_config", "layer_types", "sliding_window",
     "head_dim", "kv_lora_rank", "rope_parameters", "num_experts", "full_attention_interval",
     "linear_num_value_heads", "attn_layer_period", "linear_attn_config", "compress_ratios"]
)  # fmt: skip


@given(st.sampled_from(sorted(ARCHITECTURES)), st.dictionaries(NAMES, ANYTHING, max_size=4))
@hypothesis_settings(deadline=None, max_examples=300, derandomize=True)
def test_no_config_leads_to_any_other_error(kind: str, changes: dict[str, object]) -> None:
    data = json.dumps({**LLAMA, "model_type": kind, **changes}).encode()

    try:
        header = header_from_config(data, parsed(TIED), file_bytes=1)
    except BadModelFile:
        return

    assert header.layers > 0
    assert len(header.heads_kv) == header.layers
