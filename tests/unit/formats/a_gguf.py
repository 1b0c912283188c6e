"""Writes GGUF headers byte by byte, the broken ones included, which gguf's writer cannot."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

F32, Q4_0 = 0, 2
F32_VALUE, STRING, ARRAY, I32 = 6, 8, 9, 5
SCALARS = {bool: (7, "?"), int: (4, "I"), float: (F32_VALUE, "f")}

PLAIN: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.name": "Tiny",
    "general.file_type": 0,
    "llama.block_count": 2,
    "llama.context_length": 4096,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": ["a", "bc", ""],
    "tokenizer.chat_template": "{{ messages }}",
}


@dataclass(frozen=True)
class Raw:
    """A value as its bytes are, type included."""

    data: bytes


@dataclass(frozen=True)
class Line:
    """A line of the tensor table."""

    name: str = "token_embd.weight"
    shape: Sequence[int] = (64, 3)
    type: int = F32
    offset: int = 0


def a_text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def a_list(kind: int, count: int, data: bytes = b"") -> Raw:
    return Raw(struct.pack("<IIQ", ARRAY, kind, count) + data)


def a_value(value: object) -> bytes:
    match value:
        case Raw(data):
            return data
        case str():
            return struct.pack("<I", STRING) + a_text(value)
        case [str(), *_]:
            return a_list(STRING, len(value), b"".join(map(a_text, value))).data
        case [*numbers]:
            return a_list(I32, len(numbers), struct.pack(f"<{len(numbers)}i", *numbers)).data
        case _:
            kind, letter = SCALARS[type(value)]
            return struct.pack(f"<I{letter}", kind, value)


def a_line(line: Line) -> bytes:
    shape = struct.pack(f"<I{len(line.shape)}Q", len(line.shape), *line.shape)
    return a_text(line.name) + shape + struct.pack("<IQ", line.type, line.offset)


def a_header(
    keys: Mapping[str, object] | Sequence[tuple[str, object]] = PLAIN,
    tensors: Sequence[Line] = (Line(),),
    *,
    start: bytes = b"GGUF" + struct.pack("<I", 3),
    counts: tuple[int, int] | None = None,
) -> bytes:
    pairs = list(keys.items()) if isinstance(keys, Mapping) else list(keys)
    tensor_count, key_count = counts or (len(tensors), len(pairs))
    body = b"".join(a_text(key) + a_value(value) for key, value in pairs)
    table = b"".join(map(a_line, tensors))
    return start + struct.pack("<QQ", tensor_count, key_count) + body + table


def a_file(header: bytes, tensors: Sequence[Line] = (Line(),)) -> bytes:
    """Add the weights, all zero, four bytes each."""
    size = sum(prod(line.shape) * 4 for line in tensors)
    return header + bytes(-len(header) % 32 + size)
