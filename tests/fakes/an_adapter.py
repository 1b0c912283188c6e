"""LoRA adapters of random numbers for SmolLM2, or for a model of nearly its shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np

SMOLLM2 = {
    "attn_q": (576, 576),
    "attn_k": (576, 192),
    "attn_v": (576, 192),
    "attn_output": (576, 576),
    "ffn_gate": (576, 1536),
    "ffn_up": (576, 1536),
    "ffn_down": (1536, 576),
}
"""What each matrix reads and gives."""


def write_adapter(
    file: Path,
    *,
    rank: int,
    layers: int = 30,
    width: int = 576,
    parts: Sequence[str] = tuple(SMOLLM2),
) -> Path:
    """Write an adapter that changes these parts of every layer, a little.

    Args:
        width: Of the model's embedding; 576 is SmolLM2's.
    """
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(layers):
        for part in parts:
            read, given = (width if side == 576 else side for side in SMOLLM2[part])
            name = f"blk.{layer}.{part}.weight.lora"
            for half, shape in (("a", (rank, read)), ("b", (given, rank))):
                numbers = 0.05 * random.standard_normal(shape)
                writer.add_tensor(f"{name}_{half}", numbers.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
