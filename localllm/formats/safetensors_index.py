"""Which files a model of several safetensors files has: `model.safetensors.index.json`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from localllm.formats.json_text import bad_json, decode_json

WHAT = "an index of safetensors files"
MAX_INDEX_BYTES = 24 << 20
MAX_TENSORS = 262_144
"""The largest known, of a model with 384 experts a layer, has some 210,000 in 21 MB."""

MAX_FILES = 4096
_FILE = re.compile(rb':\s*+"([^"]{1,255}+)"')
_SLICE_BYTES = 1 << 20


class _Index(msgspec.Struct):
    weight_map: msgspec.Raw


def parse_index(data: bytes) -> tuple[str, ...]:
    """Read the names of a model's files, sorted.

    The map of tensors to files is looked through but not built: it would take 100 MB for the
    largest models. Its names therefore may not have escapes in them; none has.

    Raises:
        BadModelFile: It is damaged or hostile, or names a file elsewhere than beside itself.
    """
    index = decode_json(data, _Index, WHAT, most_bytes=MAX_INDEX_BYTES, most_values=MAX_TENSORS)
    flat = bytes(index.weight_map)
    if not flat.startswith(b"{") or b"\\" in flat:
        raise bad_json(WHAT, "its weight_map does not say a file's name for each tensor")
    names: set[bytes] = set()
    for begin, end in _slices(flat):
        names.update(_FILE.findall(flat, begin, end))
        if len(names) > MAX_FILES:
            raise bad_json(WHAT, f"it names more than {MAX_FILES} files")
    if not names:
        raise bad_json(WHAT, "it names no file")
    return tuple(sorted(_checked(name.decode("ascii", "replace")) for name in names))


def _slices(flat: bytes) -> Iterator[tuple[int, int]]:
    """Where to cut the map, after commas, so that no list of all its entries is ever made."""
    begin = 0
    while begin < len(flat):
        cut = flat.rfind(b",", begin, begin + _SLICE_BYTES) + 1
        end = cut if cut and begin + _SLICE_BYTES < len(flat) else begin + _SLICE_BYTES
        yield begin, end
        begin = end


def _checked(name: str) -> str:
    """Let nothing through that could name a file in another folder."""
    plain = (
        name.isascii()
        and name.isprintable()
        and not set(name) & set("/\\:")
        and not name.startswith(".")
    )
    if not plain or not name.endswith(".safetensors"):
        raise bad_json(WHAT, f"it names the file {name:.80}")
    return name
