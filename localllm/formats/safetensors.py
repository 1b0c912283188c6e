"""What a safetensors file's first bytes say: which tensors it has. Reads no weights.

Source: safetensors' own reader (safetensors/src/tensor.rs), which is as strict: no hole, no
overlap, nothing behind the last tensor.
"""

from __future__ import annotations

import struct
from math import prod

import msgspec

from localllm.formats.errors import BadModelFile, HeaderIncomplete
from localllm.formats.header import Tensor
from localllm.formats.json_text import bad_json, decode_json

WHAT = "a safetensors file"
LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 6 << 20
"""The format allows 100 MB. The largest known have some 18,000 tensors (experts
quantized one by one) in 3 MB, and reading 100 MB would take seconds and gigabytes."""

MAX_TENSORS = 20_480
MAX_VALUES = 12 * MAX_TENSORS
"""Three fields, two offsets and a few dimensions each."""

MAX_DIMENSIONS = 8
MAX_ELEMENTS = (1 << 63) - 1

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """A tensor's description; the defaults, which fit no tensor, are for `__metadata__`."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    data_offsets: tuple[int, int] = (-1, -1)


def parse_safetensors(
    data: bytes | bytearray | memoryview, *, file_bytes: int
) -> tuple[Tensor, ...]:
    """Read the header of one file: its tensors, in the order of their data.

    Types are the file's own names in lower case (bf16, f8_e4m3, u32). A scalar has the shape (1,);
    a tensor without elements is left out.

    Args:
        data: The file's first bytes, at least as many as its header has.
        file_bytes: The length of the whole file.

    Raises:
        BadModelFile: It is damaged or hostile.
        HeaderIncomplete: `data` ends before the header does.
    """
    with memoryview(data) as view:
        header = _header(view, file_bytes)
    entries = _entries(header)
    placed = sorted(entries.items(), key=_place)
    _check(placed, file_bytes - LENGTH.size - len(header))
    return tuple(
        Tensor(name, entry.shape[::-1] or (1,), entry.dtype.lower(), end - begin)
        for name, entry in placed
        for begin, end in (entry.data_offsets,)
        if end > begin
    )


def _check(placed: list[tuple[str, _Entry]], body_bytes: int) -> None:
    """Refuse what is broken before anything is built of it."""
    expected = 0
    for name, entry in placed:
        shape, (begin, end) = entry.shape, entry.data_offsets
        if begin != expected or end < begin:
            raise _bad(f"{name:.80} is from {begin} to {end}, where {expected} is expected")
        expected = end
        bits = DTYPE_BITS.get(entry.dtype)
        if bits is None or not _is_shape(shape) or prod(shape) * bits != (end - begin) * 8:
            raise _wrong(name, entry)
    if expected != body_bytes:
        raise _bad(f"its tensors end at byte {expected}, its data at {body_bytes}")


def _place(item: tuple[str, _Entry]) -> tuple[int, int]:
    return item[1].data_offsets


def _bad(why: str) -> BadModelFile:
    return bad_json(WHAT, why)


def _header(view: memoryview, file_bytes: int) -> bytes:
    if file_bytes < LENGTH.size:
        raise _bad(f"it has {file_bytes} bytes")
    if len(view) < LENGTH.size:
        raise _incomplete(len(view), LENGTH.size)
    (length,) = LENGTH.unpack_from(view)
    if length > MAX_HEADER_BYTES:
        raise _bad(f"its header has {length} bytes, where {MAX_HEADER_BYTES} are allowed")
    end = LENGTH.size + length
    if end > file_bytes:
        raise _bad(f"its header ends at byte {end}, the file at {file_bytes}")
    if end > len(view):
        raise _incomplete(len(view), end)
    return bytes(view[LENGTH.size : end])


def _incomplete(there: int, needed: int) -> HeaderIncomplete:
    return HeaderIncomplete(
        "The header is longer than what was read of it.",
        why=f"{there} bytes are at hand, {needed} are needed",
        fix="read more of the file and try again",
        needed_bytes=needed,
    )


def _entries(header: bytes) -> dict[str, _Entry]:
    """Tensors by name.

    A name that is there twice cannot be seen in what a JSON decoder returns, but the descriptions
    can be counted in the text.
    """
    entries = decode_json(
        header,
        dict[str, _Entry],
        WHAT,
        most_bytes=MAX_HEADER_BYTES,
        most_values=MAX_VALUES,
    )
    entries.pop("__metadata__", None)
    if len(entries) > MAX_TENSORS:
        raise _bad(f"{len(entries)} tensors, where {MAX_TENSORS} are allowed")
    if header.count(b'"data_offsets"') > len(entries):
        raise _bad("a tensor is there twice")
    return entries


def _is_shape(shape: tuple[int, ...]) -> bool:
    """Tell whether all numbers are such that their product has 63 bits, as the format asks."""
    return not shape or (
        len(shape) <= MAX_DIMENSIONS and min(shape) >= 0 and prod(shape) <= MAX_ELEMENTS
    )


def _wrong(name: str, entry: _Entry) -> BadModelFile:
    if entry.dtype not in DTYPE_BITS:
        return _bad(f"{name:.80} is stored as {entry.dtype:.40}, which this version does not know")
    if not _is_shape(entry.shape):
        return _bad(f"{name:.80} has the shape {entry.shape[:MAX_DIMENSIONS]}")
    begin, end = entry.data_offsets
    return _bad(f"{name:.80} of the shape {entry.shape} does not take {end - begin} bytes")
