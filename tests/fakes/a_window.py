"""A tiny model of random numbers that in most of its layers looks a few tokens back: Gemma 3's kind."""

from __future__ import annotations

from pathlib import Path

import gguf

from localllm.fit.blueprint import tensors_of
from localllm.formats.header import Value
from tests.fakes.a_delta_net import VOCABULARY, write_random

WINDOW, BLOCKS = 512, 6
KEYS: dict[str, Value] = {
    "context_length": 131_072,
    "vocab_size": VOCABULARY,
    "embedding_length": 512,
    "block_count": BLOCKS,
    "feed_forward_length": 1536,
    "attention.head_count": 8,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "attention.sliding_window": WINDOW,
}


def write_window(file: Path) -> Path:
    writer = gguf.GGUFWriter(file, "gemma3")
    writer.add_uint32("general.quantization_version", 2)
    writer.add_float32("gemma3.attention.layer_norm_rms_epsilon", 1e-6)
    for key, value in KEYS.items():
        assert isinstance(value, int)
        writer.add_uint32(f"gemma3.{key}", value)
    table = tensors_of("gemma3", KEYS, tied=True)
    assert table is not None
    write_random(writer, table)
    return file
