"""Writes safetensors headers, broken ones included."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence

from localllm.formats.header import Tensor
from localllm.formats.safetensors import DTYPE_BITS, parse_safetensors

Described = Mapping[str, tuple[str, Sequence[int]]]
"""Type and shape (outermost dimension first, as the file has it) by name."""


def entries(tensors: Described) -> dict[str, object]:
    found: dict[str, object] = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        bits = DTYPE_BITS[dtype]
        for each in shape:
            bits *= each
        found[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + bits // 8]}
        at += bits // 8
    return found


def a_header(entries: Mapping[str, object] | bytes, *, length: int | None = None) -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def parsed(tensors: Described) -> tuple[Tensor, ...]:
    """What the parser says of a sound file with these tensors."""
    found = entries(tensors)
    header = a_header({"__metadata__": {"format": "pt"}, **found})
    end = max((e["data_offsets"][1] for e in found.values()), default=0)  # type: ignore[index]
    return parse_safetensors(header, file_bytes=len(header) + end)
