"""A GGUF header from its first byte to the end of its tensor table.

Source: ggml/docs/gguf.md, and ggml/src/gguf.cpp for what llama.cpp refuses.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cache
from math import prod

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf_cursor import MAX_HEADER_BYTES, TENSOR_STEPS, Cursor, bad
from localllm.formats.gguf_metadata import Metadata, read_metadata
from localllm.formats.header import Tensor
from localllm.formats.quantization import STORAGE_TYPES, tensor_bytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_DIMENSIONS = 4
MAX_ELEMENTS = (1 << 63) - 1
MAX_TENSOR_NAME_BYTES = 63
"""llama.cpp's GGML_MAX_NAME, less the zero at the end."""

LEAST_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a header holds."""

    metadata: Metadata
    tensors: tuple[Tensor, ...]
    file_bytes: int


def read_contents(data: bytes | bytearray | memoryview, file_bytes: int) -> Contents:
    """Read a header, a model's or not.

    Raises:
        BadModelFile: It is damaged or hostile.
        HeaderIncomplete: `data` ends before the header does.
    """
    with memoryview(data) as whole, whole[:MAX_HEADER_BYTES] as view:
        cursor = Cursor(view, file_bytes)
        _check_format(cursor)
        tensor_count, key_count = cursor.count(), cursor.count()
        metadata = read_metadata(cursor, key_count)
        tensors = _tensors(cursor, tensor_count, metadata.alignment())
    return Contents(metadata, tensors, file_bytes)


def _check_format(cursor: Cursor) -> None:
    magic = bytes(cursor.data[cursor.skip(4) : cursor.at])
    if magic != MAGIC:
        raise bad(f"it begins with {magic!r}, not with {MAGIC!r}")
    version = int(cursor.number(4))
    if version and not version & 0xFFFF:
        raise BadModelFile(
            "This GGUF file is for big-endian machines.",
            why=f"its version number, {version:#x}, has its bytes the other way round",
            fix="download the little-endian file of the same model",
        )
    if version not in VERSIONS:
        raise BadModelFile(
            f"GGUF version {version} cannot be read.",
            why="versions 2 and 3 can",
            fix="download a newer file of the same model, or update localllm",
        )


def _tensors(cursor: Cursor, count: int, alignment: int) -> tuple[Tensor, ...]:
    """Read the table; each tensor must begin where the one before it ended, as llama.cpp asks."""
    cursor.expect(count * LEAST_TENSOR_BYTES)
    cursor.spend(count * TENSOR_STEPS)
    placed = [_tensor(cursor) for _ in range(count)]
    if len({tensor.name for _, tensor in placed}) != count:
        raise bad("two tensors have the same name")
    data_at, expected = -(-cursor.at // alignment) * alignment, 0
    for offset, tensor in placed:
        if offset != expected:
            raise bad(f"{tensor.name} is at {offset}, where {expected} is expected")
        end = data_at + offset + tensor.size_bytes
        if end > cursor.file_bytes:
            raise bad(f"{tensor.name} ends at byte {end}, the file at {cursor.file_bytes}")
        expected += -(-tensor.size_bytes // alignment) * alignment
    return tuple(tensor for _, tensor in placed)


def _tensor(cursor: Cursor) -> tuple[int, Tensor]:
    """Read one line of the tensor table: where its data is, from the first data on, and what."""
    name = cursor.text(MAX_TENSOR_NAME_BYTES)
    dimensions = cursor.number(4)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise bad(f"{name} has {dimensions} dimensions")
    packing = _rest_of_line(int(dimensions))
    *shape, type_id, offset = packing.unpack_from(cursor.data, cursor.skip(packing.size))
    if not 0 < prod(shape) <= MAX_ELEMENTS:
        raise bad(f"{name} has the shape {tuple(shape)}")
    storage = STORAGE_TYPES.get(type_id)
    if storage is None:
        raise bad(f"{name} is stored as type {type_id}, which this version does not know")
    try:
        size_bytes = tensor_bytes(storage, shape)
    except ValueError as error:
        raise bad(f"{name}: {error}") from error
    return offset, Tensor(name, tuple(shape), storage.name, size_bytes)


@cache
def _rest_of_line(dimensions: int) -> struct.Struct:
    """Shape, storage type and place of a tensor."""
    return struct.Struct(f"<{dimensions}QIQ")
