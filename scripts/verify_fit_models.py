"""Tiny models with random weights for verify_fit: one and more of every kind that is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Stored

from localllm.fit.architectures import ENCODERS
from localllm.fit.blueprint import tensors_of
from localllm.fit.blueprint_parts import Entry
from localllm.fit.outline import UNQUANTIZED
from localllm.formats.header import Value

LARGEST_BYTE = 0x2F
"""Any 16 or 32 bits of such bytes are a number below 0.1, so no scale of any type is infinite."""

VOCABULARY = 16_000
BASE: Mapping[str, Value] = {
    "context_length": 131_072,
    "vocab_size": VOCABULARY,
    "embedding_length": 512,
    "block_count": 6,
}
ATTENTION: Mapping[str, Value] = {
    **BASE,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "rope.dimension_count": 64,
    "feed_forward_length": 1536,
}
EXPERTS: Mapping[str, Value] = {
    "expert_count": 16,
    "expert_used_count": 4,
    "expert_feed_forward_length": 256,
}
DELTA: Mapping[str, Value] = {
    "block_count": 8,
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 1024,
    "ssm.state_size": 128,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 4,
    "full_attention_interval": 4,
}
SECTIONS: Mapping[str, Value] = {"rope.dimension_sections": (11, 11, 10, 0)}
MLA: Mapping[str, Value] = {
    "attention.head_count_kv": 1,
    "attention.key_length": 576,
    "attention.value_length": 512,
    "attention.key_length_mla": 192,
    "attention.value_length_mla": 128,
    "attention.kv_lora_rank": 512,
    "expert_shared_count": 1,
    "leading_dense_block_count": 1,
    "expert_weights_scale": 1.0,
}
LITE: Mapping[str, Value] = {
    "block_count": 27,
    "embedding_length": 256,
    "expert_count": 8,
    "feed_forward_length": 512,
}
"""llama.cpp knows the models without a rank of queries by their 27 layers."""

GEMMA4: Mapping[str, Value] = {
    "attention.head_count_kv": (4, 4, 4, 4, 4, 2),
    "attention.key_length": 128,
    "attention.value_length": 128,
    "attention.key_length_swa": 64,
    "attention.value_length_swa": 64,
    "rope.dimension_count": 128,
    "rope.dimension_count_swa": 64,
    "attention.sliding_window": 512,
    "attention.sliding_window_pattern": (1, 1, 1, 1, 1, 0),
    "attention.shared_kv_layers": 0,
    "embedding_length_per_layer_input": 0,
}
SMALL_GEMMA4: Mapping[str, Value] = {
    "attention.head_count_kv": 2,
    "attention.sliding_window_pattern": (1, 0, 1, 0, 1, 0),
    "attention.shared_kv_layers": 2,
    "embedding_length_per_layer_input": 64,
    "feed_forward_length": (1024, 1024, 1024, 1024, 2048, 2048),
}
DEEPSEEK4: Mapping[str, Value] = {
    "block_count": 4,
    "attention.head_count": 8,
    "attention.head_count_kv": 1,
    "attention.key_length": 512,
    "attention.value_length": 512,
    "rope.dimension_count": 64,
    "attention.q_lora_rank": 256,
    "attention.output_lora_rank": 256,
    "attention.output_group_count": 2,
    "attention.sliding_window": 128,
    "attention.compress_ratios": (0, 4, 128, 4),
    "attention.compress_rope_freq_base": 160000.0,
    "attention.indexer.head_count": 8,
    "attention.indexer.key_length": 128,
    "attention.indexer.top_k": 512,
    "hyper_connection.count": 4,
    "hyper_connection.sinkhorn_iterations": 3,
    "hyper_connection.epsilon": 1e-6,
    "hash_layer_count": 1,
    "expert_shared_count": 1,
    "expert_weights_scale": 1.5,
    "expert_weights_norm": True,
    "expert_gating_func": 4,
    "swiglu_clamp_exp": 10.0,
}
ENCODER: Mapping[str, Value] = {
    **ATTENTION,
    "context_length": 2048,
    "attention.head_count_kv": 8,
    "attention.causal": False,
    "pooling_type": 1,
}


@dataclass(frozen=True, slots=True)
class Tiny:
    """A model to be written."""

    name: str
    architecture: str
    keys: Mapping[str, Value]
    stored: str = "Q8_0"
    experts_stored: str | None = None
    tied: bool = False

    def table(self) -> tuple[Entry, ...]:
        found = tensors_of(self.architecture, self.keys, tied=self.tied)
        assert found is not None
        return found


MODELS = (
    Tiny("llama", "llama", ATTENTION, "Q4_K"),
    Tiny(
        "llama-moe",
        "llama",
        {**ATTENTION, "feed_forward_length": 512, "expert_count": 8, "expert_used_count": 2},
    ),
    Tiny("qwen2", "qwen2", ATTENTION, "F16", tied=True),
    Tiny("qwen3", "qwen3", ATTENTION, "Q4_0", tied=True),
    Tiny("qwen3moe", "qwen3moe", {**ATTENTION, **EXPERTS}, "Q4_K"),
    Tiny("smollm3", "smollm3", ATTENTION, "Q6_K", tied=True),
    Tiny("phi3", "phi3", ATTENTION),
    Tiny("gemma3", "gemma3", {**ATTENTION, "attention.sliding_window": 512}, tied=True),
    Tiny("gemma4", "gemma4", {**ATTENTION, **GEMMA4}, "Q4_0", tied=True),
    Tiny("gemma4-small", "gemma4", {**ATTENTION, **GEMMA4, **SMALL_GEMMA4}, tied=True),
    Tiny("gemma4-moe", "gemma4", {**ATTENTION, **GEMMA4, **EXPERTS}, "Q4_K", tied=True),
    Tiny(
        "gpt-oss", "gpt-oss", {**ATTENTION, **EXPERTS, "attention.sliding_window": 128}, "Q8_0", "MXFP4"
    ),
    Tiny("deepseek2", "deepseek2", {**ATTENTION, **EXPERTS, **MLA, "attention.q_lora_rank": 256}),
    Tiny("deepseek2-lite", "deepseek2", {**ATTENTION, **EXPERTS, **MLA, **LITE}, "Q4_K"),
    Tiny("deepseek4", "deepseek4", {**BASE, **EXPERTS, **DEEPSEEK4}),
    Tiny(
        "glm4moe",
        "glm4moe",
        {
            **ATTENTION,
            **EXPERTS,
            "expert_shared_count": 1,
            "leading_dense_block_count": 1,
            "nextn_predict_layers": 1,
        },
        "Q4_K",
    ),
    Tiny(
        "llama4",
        "llama4",
        {**ATTENTION, **EXPERTS, "expert_used_count": 1, "interleave_moe_layer_step": 2},
    ),
    Tiny("mamba2", "mamba2", {**BASE, **DELTA, "ssm.group_count": 1, "ssm.time_step_rank": 16}, tied=True),
    Tiny("qwen35", "qwen35", {**ATTENTION, **DELTA, **SECTIONS}, "Q4_K"),
    Tiny(
        "qwen35moe",
        "qwen35moe",
        {**ATTENTION, **DELTA, **SECTIONS, **EXPERTS, "expert_shared_feed_forward_length": 256},
    ),
    Tiny(
        "qwen3next",
        "qwen3next",
        {**ATTENTION, **DELTA, **EXPERTS, "expert_shared_feed_forward_length": 256},
    ),
    Tiny("bert", "bert", ENCODER, "F16"),
    Tiny("nomic-bert", "nomic-bert", ENCODER, "F16"),
    Tiny(
        "gemma-embedding",
        "gemma-embedding",
        {**ENCODER, "attention.sliding_window": 512},
        "Q8_0",
        tied=True,
    ),
)


def write(model: Tiny, folder: Path) -> Path:
    """Write a model; its file is a few tens of MB."""
    path = folder / f"{model.name}.gguf"
    writer = gguf.GGUFWriter(path, model.architecture)
    _say(writer, model)
    _say_vocabulary(writer, model)
    sizes = []
    for name, shape in model.table():
        stored = stored_as(model, name, shape)
        block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
        size = int(np.prod(shape)) // block * block_bytes
        sizes.append(size)
        kind = np.dtype(np.float32)
        writer.add_tensor_info(name, tuple(reversed(shape)), kind, size, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.flush()
    file = writer.fout[0]
    writer.write_padding(file, file.tell())
    numbers = np.random.default_rng(0)
    for size in sizes:
        wanted = writer.ggml_pad(size, writer.data_alignment)
        file.write(numbers.integers(0, LARGEST_BYTE, wanted, dtype=np.uint8).tobytes())
    writer.close()
    return path


def stored_as(model: Tiny, name: str, shape: tuple[int, ...]) -> Stored:
    """Choose as llama.cpp's quantization does: norms stay, short rows get smaller blocks."""
    if name.endswith("tid2eid.weight"):
        return Stored.I32
    if len(shape) == 1 or not name.endswith(".weight") or name.endswith(UNQUANTIZED):
        return Stored.F32
    wanted = model.experts_stored if "_exps." in name and model.experts_stored else model.stored
    for each in (Stored[wanted], Stored.Q8_0, Stored.F16):
        if shape[0] % gguf.GGML_QUANT_SIZES[each][0] == 0:
            return each
    raise AssertionError


def _say(writer: gguf.GGUFWriter, model: Tiny) -> None:
    prefix = model.architecture
    epsilon = "layer_norm_epsilon" if prefix in ("bert", "nomic-bert") else "layer_norm_rms_epsilon"
    writer.add_uint32("general.quantization_version", 2)
    writer.add_float32(f"{prefix}.attention.{epsilon}", 1e-5)
    for key, value in model.keys.items():
        match value:
            case bool():
                writer.add_bool(f"{prefix}.{key}", value)
            case int():
                writer.add_uint32(f"{prefix}.{key}", value)
            case float():
                writer.add_float32(f"{prefix}.{key}", value)
            case tuple():
                flags = key.endswith("_pattern")
                listed = [bool(n) for n in value] if flags else list(value)
                writer.add_array(f"{prefix}.{key}", listed)


def _say_vocabulary(writer: gguf.GGUFWriter, model: Tiny) -> None:
    tokens = [f"t{i}" for i in range(VOCABULARY)]
    ids = ("bos", "eos")
    if model.architecture in ENCODERS and model.architecture != "gemma-embedding":
        writer.add_string("tokenizer.ggml.model", "bert")
        writer.add_uint32("tokenizer.ggml.token_type_count", 2)
        ids = ("padding", "unknown", "bos", "cls", "eos", "seperator", "mask")
    else:
        writer.add_string("tokenizer.ggml.model", "gpt2")
        writer.add_string("tokenizer.ggml.pre", "default")
        writer.add_array("tokenizer.ggml.merges", ["t 0"])
        tokens[-1] = "\u010a"
    for number, name in enumerate(ids):
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)
    writer.add_array("tokenizer.ggml.tokens", tokens)
    writer.add_array("tokenizer.ggml.token_type", [1] * VOCABULARY)


def at_full_size(name: str, architecture: str, keys: Mapping[str, Value], *, tied: bool) -> Tiny:
    """Make a model of real dimensions, to be written without its weights."""
    return replace(Tiny(name, architecture, keys), tied=tied)
