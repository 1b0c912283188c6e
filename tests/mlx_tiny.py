"""Tiny random models in MLX's format, whose caches cannot be cut back: a window, and a state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.mlx_smollm2 import mlx_smollm2

GEMMA, MAMBA = "gemma3_text", "mamba2"
_TOKENS = 49152
_CONFIGS: dict[str, dict[str, Any]] = {
    GEMMA: {
        "architectures": ["Gemma3ForCausalLM"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "sliding_window": 32,
        "sliding_window_pattern": 2,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 32,
        "max_position_embeddings": 4096,
    },
    MAMBA: {
        "architectures": ["Mamba2ForCausalLM"],
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_heads": 4,
        "head_dim": 32,
        "state_size": 16,
        "conv_kernel": 4,
        "expand": 2,
        "n_groups": 1,
        "intermediate_size": 128,
        "layer_norm_epsilon": 1e-5,
        "use_bias": False,
        "use_conv_bias": True,
        "tie_word_embeddings": True,
        "time_step_limit": [0.0, 100.0],
        "time_step_rank": 4,
        "max_position_embeddings": 4096,
    },
}


def tiny_mlx(folder: Path, kind: str) -> Path:
    """Write one; its tokenizer is SmolLM2's."""
    import mlx.core as mx  # noqa: PLC0415
    from mlx.utils import tree_flatten  # noqa: PLC0415
    from mlx_lm.utils import _get_classes  # noqa: PLC0415

    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(mlx_smollm2() / name, folder / name)
    config = {**_CONFIGS[kind], "model_type": kind, "vocab_size": _TOKENS, "eos_token_id": 2}
    (folder / "config.json").write_text(json.dumps(config))
    kind_of, arguments_of = _get_classes(config)
    mx.random.seed(1)
    model = kind_of(arguments_of.from_dict(config))
    weights = {
        name: (mx.random.normal(tensor.shape) * 0.2 if tensor.ndim > 1 else tensor).astype(
            mx.float32
        )
        for name, tensor in tree_flatten(model.parameters())
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder
