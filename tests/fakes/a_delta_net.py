"""A tiny delta net of random numbers whose last block guesses ahead: Qwen 3.5's kind, with MTP."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Stored

from localllm.fit.blueprint import tensors_of
from localllm.formats.header import Value

EMBEDDING, FEED_FORWARD, BLOCKS, VOCABULARY = 512, 1536, 8, 16_000
HEADS, DIM = 8, 64
KEYS: dict[str, Value] = {
    "context_length": 131_072,
    "vocab_size": VOCABULARY,
    "embedding_length": EMBEDDING,
    "block_count": BLOCKS,
    "feed_forward_length": FEED_FORWARD,
    "attention.head_count": HEADS,
    "attention.head_count_kv": 2,
    "attention.key_length": DIM,
    "attention.value_length": DIM,
    "rope.dimension_count": DIM,
    "rope.dimension_sections": (11, 11, 10, 0),
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 1024,
    "ssm.state_size": 128,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 4,
    "full_attention_interval": 4,
}
LARGEST_BYTE = 0x2F
"""Any 16 or 32 bits of such bytes are a number below 0.1, so no scale is infinite."""


def write_delta_net(file: Path) -> Path:
    writer = gguf.GGUFWriter(file, "qwen35")
    writer.add_uint32("general.quantization_version", 2)
    writer.add_float32("qwen35.attention.layer_norm_rms_epsilon", 1e-5)
    for key, value in {**KEYS, "block_count": BLOCKS + 1, "nextn_predict_layers": 1}.items():
        say = writer.add_array if isinstance(value, tuple) else writer.add_uint32
        say(f"qwen35.{key}", list(value) if isinstance(value, tuple) else value)
    table = tensors_of("qwen35", KEYS, tied=False)
    assert table is not None
    write_random(writer, (*table, *_heads()))
    return file


def write_random(writer: gguf.GGUFWriter, table: Iterable[tuple[str, tuple[int, ...]]]) -> None:
    """Write a vocabulary and these tensors, of random numbers, and close the file."""
    _say_vocabulary(writer)
    random = np.random.default_rng(0)
    for name, shape in table:
        stored = _stored(name, shape)
        block, block_bytes = gguf.GGML_QUANT_SIZES[stored]
        rows = (*reversed(shape[1:]), shape[0] // block * block_bytes)
        numbers = random.integers(0, LARGEST_BYTE, prod(rows), np.uint8).reshape(rows)
        writer.add_tensor(name, numbers, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _heads() -> Iterator[tuple[str, tuple[int, ...]]]:
    """One block of attention, and what makes its input of a token and of what came before."""
    wide, kept = HEADS * DIM, 2 * DIM
    parts = {
        "attn_norm": (EMBEDDING,),
        "post_attention_norm": (EMBEDDING,),
        "attn_q": (EMBEDDING, 2 * wide),
        "attn_k": (EMBEDDING, kept),
        "attn_v": (EMBEDDING, kept),
        "attn_output": (wide, EMBEDDING),
        "attn_q_norm": (DIM,),
        "attn_k_norm": (DIM,),
        "ffn_gate": (EMBEDDING, FEED_FORWARD),
        "ffn_up": (EMBEDDING, FEED_FORWARD),
        "ffn_down": (FEED_FORWARD, EMBEDDING),
        "nextn.eh_proj": (2 * EMBEDDING, EMBEDDING),
        "nextn.enorm": (EMBEDDING,),
        "nextn.hnorm": (EMBEDDING,),
        "nextn.shared_head_norm": (EMBEDDING,),
    }
    for name, shape in parts.items():
        yield f"blk.{BLOCKS}.{name}.weight", shape


def _stored(name: str, shape: tuple[int, ...]) -> Stored:
    if len(shape) == 1 or not name.endswith(".weight") or "conv1d" in name:
        return Stored.F32
    return Stored.Q8_0


def _say_vocabulary(writer: gguf.GGUFWriter) -> None:
    tokens = [f"t{i}" for i in range(VOCABULARY - 1)]
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "default")
    writer.add_array("tokenizer.ggml.merges", ["t 0"])
    writer.add_uint32("tokenizer.ggml.bos_token_id", 0)
    writer.add_uint32("tokenizer.ggml.eos_token_id", 1)
    writer.add_array("tokenizer.ggml.tokens", [*tokens, "\u010a"])
    writer.add_array("tokenizer.ggml.token_type", [1] * VOCABULARY)
