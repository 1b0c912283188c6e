"""Tensors of safetensors files as GGUF would hold them: by GGUF's names, with the numbers' shape.

Formats that pack numbers keep scales and zero points beside them, as tensors of their own; here
they are part of the tensor that they belong to, so that bytes stay exact and elements count once.

Source: llama.cpp, gguf-py/gguf/tensor_mapping.py, for names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from localllm.formats.header import Tensor
from localllm.formats.hf_quantization import Packing, Quantization

_LAYER = re.compile(
    r"(?:(?:model|language_model|text_model|transformer|backbone|llm|decoder)\.)*+"
    r"(?:layers|h|blocks)\.([0-9]{1,5})\.(.+)",
    re.DOTALL,
)
_DRAFT = re.compile(r"(?:model\.)?mtp\.(?:layers\.([0-9]{1,3})\.)?(.+)", re.DOTALL)
_EXPERT = re.compile(r"(?:^|.*\.)(?:experts|switch_mlp|switch_glu)\.(.+)", re.DOTALL)
_PREFIX = re.compile(r"(?:(?:model|language_model|text_model|transformer|backbone|llm)\.)*+")

TOP = {
    "embed_tokens.weight": "token_embd.weight",
    "embeddings.weight": "token_embd.weight",
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "tok_embeddings.weight": "token_embd.weight",
    "wte.weight": "token_embd.weight",
    "lm_head.weight": "output.weight",
    "norm.weight": "output_norm.weight",
}
PARTS = {
    "down_proj": "ffn_down",
    "fc2": "ffn_down",
    "gate_proj": "ffn_gate",
    "gate_up_proj": "ffn_up",
    "in_proj_a": "ssm_alpha",
    "in_proj_b": "ssm_beta",
    "in_proj_ba": "ssm_ba",
    "in_proj_qkv": "attn_qkv",
    "in_proj_qkvz": "ssm_in",
    "in_proj_z": "attn_gate",
    "k_norm": "attn_k_norm",
    "k_proj": "attn_k",
    "kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "kv_b_proj": "attn_kv_b",
    "o_proj": "attn_output",
    "q_a_proj": "attn_q_a",
    "q_b_proj": "attn_q_b",
    "q_norm": "attn_q_norm",
    "q_proj": "attn_q",
    "qkv_proj": "attn_qkv",
    "up_proj": "ffn_up",
    "v_proj": "attn_v",
    "w2": "ffn_down",
}
"""The word before the last, in a layer; others keep their names."""

PACKED = ("weight", "qweight", "weight_packed", "blocks")
BESIDE = frozenset(
    {
        "biases",
        "g_idx",
        "input_global_scale",
        "input_scale",
        "qzeros",
        "scale",
        "scales",
        "weight_g_idx",
        "weight_global_scale",
        "weight_scale",
        "weight_scale_2",
        "weight_scale_inv",
        "weight_shape",
        "weight_zero_point",
    }
)
"""What is kept beside packed numbers."""


def as_gguf(
    tensors: Sequence[Tensor], quantization: Quantization, layers: int
) -> tuple[Tensor, ...]:
    """Join what belongs together and rename it; drafts' layers come after the `layers` others."""
    groups: dict[str, dict[str, Tensor]] = {}
    for tensor in tensors:
        stem, leaf = _apart(tensor.name)
        groups.setdefault(stem, {})[leaf] = tensor
    joined = (t for stem, group in groups.items() for t in _joined(stem, group, quantization))
    return tuple(replace(t, name=_gguf_name(t.name, layers)) for t in joined)


def _apart(name: str) -> tuple[str, str]:
    stem, _, leaf = name.rpartition(".")
    for ending in ("_blocks", "_scales"):
        if leaf.endswith(ending):
            return name.removesuffix(ending), ending[1:]
    return stem, leaf


def _joined(stem: str, group: Mapping[str, Tensor], quantization: Quantization) -> Iterable[Tensor]:
    leaf = next((each for each in PACKED if each in group), None)
    if leaf is None:
        return group.values()
    beside = {key: t for key, t in group.items() if key in BESIDE}
    whole = _unpacked(group[leaf], leaf, beside, quantization.of(stem), quantization.name)
    size_bytes = whole.size_bytes + sum(t.size_bytes for t in beside.values())
    rest = [t for key, t in group.items() if key != leaf and key not in BESIDE]
    own_name = whole.name if leaf == "weight" else f"{stem}.weight"
    return [replace(whole, name=own_name, size_bytes=size_bytes), *rest]


def _unpacked(
    tensor: Tensor,
    leaf: str,
    beside: Mapping[str, Tensor],
    packing: Packing | None,
    name: str | None,
) -> Tensor:
    """Give a tensor the shape of the numbers in it, innermost first."""
    first, *rest = tensor.shape
    if leaf == "blocks" and rest:
        return replace(tensor, shape=(2 * first * rest[0], *rest[1:]), type="mxfp4")
    if leaf == "weight" and tensor.type == "i8" and "scale" in beside:  # DeepSeek V4's experts
        return replace(tensor, shape=(2 * first, *rest), type="mxfp4")
    if packing is None or not beside:
        return tensor
    shape = _unpacked_shape(tensor, leaf, beside, packing, name)
    if shape is None:
        return tensor
    kind = packing.type if "scales" in beside else name or packing.type
    return replace(tensor, shape=shape, type=kind.lower())


def _unpacked_shape(
    tensor: Tensor,
    leaf: str,
    beside: Mapping[str, Tensor],
    packing: Packing,
    name: str | None,
) -> tuple[int, ...] | None:
    """None where numbers are not packed but have scales, as FP8's."""
    first, *rest = tensor.shape
    in_word = max(1, 32 // packing.bits)
    match leaf, tensor.type:
        case "weight", "u32" if "scales" in beside:
            return (beside["scales"].shape[0] * packing.group, *rest)
        case "weight" | "weight_packed", "u8":
            return (2 * first, *rest)
        case "weight_packed", _:
            return (first * in_word, *rest)
        case "qweight", _ if len(rest) == 1:
            return (rest[0], first * in_word) if name == "AWQ" else (rest[0] * in_word, first)
        case _:
            return None


def _gguf_name(name: str, layers: int) -> str:
    if found := _LAYER.fullmatch(name):
        return f"blk.{int(found[1])}.{_in_layer(found[2])}"
    if found := _DRAFT.fullmatch(name):
        within = _in_layer(found[2]) if found[1] else f"nextn.{found[2]}"
        return f"blk.{layers + int(found[1] or 0)}.{within}"
    rest = name[_match_end(name) :]
    return TOP.get(rest, name)


def _match_end(name: str) -> int:
    found = _PREFIX.match(name)
    return found.end() if found else 0


def _in_layer(name: str) -> str:
    """Name what is in a layer: experts are told by `_exps`, shared ones by `_shexp`."""
    *before, part, leaf = name.split(".") if "." in name else ("", name)
    if found := _EXPERT.fullmatch(name):
        words = found[1].split(".")
        return f"{PARTS.get(words[-2] if len(words) > 1 else words[0], 'ffn')}_exps.{found[1]}"
    word = PARTS.get(part)
    if word is None:
        return name
    if any("shared_expert" in each for each in before):
        return f"{word}_shexp.{leaf}"
    return f"{word}.{leaf}"
