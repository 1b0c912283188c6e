"""Tiny models with random weights for verify_fit: one and more of every kind that is planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localllm.catalog.profile import Profile
from localllm.fit.blueprint import tensors_of
from localllm.fit.blueprint_parts import Entry
from localllm.fit.outline import Missing, outline
from localllm.formats.header import Value

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
INDIFFERENT = frozenset(
    {
        "rope.dimension_count_swa",
        "rope.dimension_sections",
        "expert_weights_scale",
        "expert_gating_func",
        "swiglu_clamp_exp",
        "attention.compress_rope_freq_base",
        "hyper_connection.sinkhorn_iterations",
        "hyper_connection.epsilon",
        "expert_weights_norm",
        "attention.causal",
    }
)
"""Keys that llama.cpp insists on and no memory depends on."""

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
        "gpt-oss",
        "gpt-oss",
        {**ATTENTION, **EXPERTS, "attention.sliding_window": 128},
        "Q8_0",
        "MXFP4",
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
    Tiny(
        "mamba2",
        "mamba2",
        {**BASE, **DELTA, "ssm.group_count": 1, "ssm.time_step_rank": 16},
        tied=True,
    ),
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


def at_full_size(profile: Profile) -> Tiny | None:
    """Make a model of a catalogued one's dimensions; None where a dimension is unknown.

    Keys that the catalogue leaves out since no memory depends on them come from the tiny model.
    """
    hyper = profile.gguf
    assert hyper is not None
    same = (m for m in MODELS if m.architecture == hyper.architecture)
    tiny = next(same, Tiny(hyper.architecture, hyper.architecture, {}))
    keys = {k: v for k, v in tiny.keys.items() if k in INDIFFERENT} | dict(hyper.keys)
    header = outline(
        hyper, name=None, quant=None, size_bytes=1 << 40, parameters=profile.parameters
    )
    if isinstance(header, Missing):
        return None
    tied = all(tensor.name != "output.weight" for tensor in header.tensors)
    return Tiny(profile.id, hyper.architecture, keys, "Q4_K", tiny.experts_stored, tied=tied)
