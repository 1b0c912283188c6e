"""SmolLM2 as a folder for MLX: its GGUF's own tensors and tokenizer under the names mlx-lm reads.

Q4_1 is MLX's affine quantization with 4 bits and groups of 32, so nothing is quantized again.
Only this file of our own may take this road: MLX's reader of GGUF trusts what it reads.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.smollm2 import smollm2

_RECIPE = 1
"""Counts up with what is written, so that an older folder is not taken for it."""

_WHOLE_MODEL = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
_OF_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_CONTROL = 3
"""How a GGUF marks a token that is no text."""


@cache
def mlx_smollm2() -> Path:
    """Make the folder once on this machine; two processes may do so at the same time."""
    assert importlib.util.find_spec("mlx_lm"), "scripts/test installs mlx-lm"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "localllm-tests"
    folder = caches / f"smollm2-135m-instruct-mlx-{_RECIPE}"
    if not folder.is_dir():
        caches.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=caches))
        _write(made)
        _put(made, folder)
    return folder


def _put(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(made)
        assert folder.is_dir()


def _write(folder: Path) -> None:
    import mlx.core as mx  # noqa: PLC0415  # after the test that says what is missing

    tensors, said = mx.load(str(smollm2()), return_metadata=True)
    weights = {_renamed(name): tensor for name, tensor in tensors.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    for name, document in (
        ("config.json", _config(said)),
        ("tokenizer.json", _tokenizer(said)),
        ("tokenizer_config.json", _tokenizer_config(said)),
    ):
        (folder / name).write_text(json.dumps(document), encoding="utf-8")


def _renamed(name: str) -> str:
    """Turn blk.3.attn_q.scales into model.layers.3.self_attn.q_proj.scales."""
    *where, part, kind = name.split(".")
    if where:
        return f"model.layers.{where[1]}.{_OF_A_LAYER[part]}.{kind}"
    return f"{_WHOLE_MODEL[part]}.{kind}"


def _config(said: dict[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": said["tokenizer.ggml.bos_token_id"].item(),
        "eos_token_id": said["tokenizer.ggml.eos_token_id"].item(),
        "hidden_size": said["llama.embedding_length"].item(),
        "intermediate_size": said["llama.feed_forward_length"].item(),
        "max_position_embeddings": said["llama.context_length"].item(),
        "num_attention_heads": said["llama.attention.head_count"].item(),
        "num_hidden_layers": said["llama.block_count"].item(),
        "num_key_value_heads": said["llama.attention.head_count_kv"].item(),
        "rms_norm_eps": said["llama.attention.layer_norm_rms_epsilon"].item(),
        "rope_theta": said["llama.rope.freq_base"].item(),
        "rope_traditional": True,  # llama.cpp's converter put queries and keys in this order
        "tie_word_embeddings": True,
        "vocab_size": said["llama.vocab_size"].item(),
        "quantization": {
            "group_size": 32,
            "bits": 4,
            "model.embed_tokens": {"group_size": 32, "bits": 8},
        },
    }


def _tokenizer(said: dict[str, Any]) -> dict[str, Any]:
    """A byte-level BPE that takes digits one by one, as the GGUF's `smollm` says."""
    tokens = said["tokenizer.ggml.tokens"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    control = [i for i, k in enumerate(said["tokenizer.ggml.token_type"].tolist()) if k == _CONTROL]
    return {
        "version": "1.0",
        "added_tokens": [_added(number, tokens[number]) for number in control],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**byte_level, "use_regex": True},
            ],
        },
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": said["tokenizer.ggml.merges"],
        },
    }


def _added(number: int, token: str) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, "special": True, **plain}


def _tokenizer_config(said: dict[str, Any]) -> dict[str, Any]:
    tokens = said["tokenizer.ggml.tokens"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "chat_template": said["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "bos_token": tokens[said["tokenizer.ggml.bos_token_id"].item()],
        "eos_token": tokens[said["tokenizer.ggml.eos_token_id"].item()],
        "pad_token": tokens[said["tokenizer.ggml.padding_token_id"].item()],
    }
