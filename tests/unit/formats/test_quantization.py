"""The table of storage types, against the `gguf` package's."""

from __future__ import annotations

import gguf
import pytest

from localllm.formats.quantization import (
    FILE_TYPES,
    GUESSED,
    STORAGE_TYPES,
    quantization_name,
    tensor_bytes,
)


def test_every_storage_type_is_the_gguf_packages() -> None:
    theirs = {
        t.value: (t.name.lower(), *gguf.GGML_QUANT_SIZES[t]) for t in gguf.GGMLQuantizationType
    }

    assert {i: (t.name, t.block, t.block_bytes) for i, t in STORAGE_TYPES.items()} == theirs


def test_every_file_type_is_the_gguf_packages() -> None:
    theirs = {
        t.value: t.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for t in gguf.LlamaFileType
        if t.value != GUESSED
    }

    assert theirs == FILE_TYPES


@pytest.mark.parametrize(
    ("type_id", "shape", "expected"),
    [(0, (576,), 2304), (3, (576, 1536), 552_960), (8, (576, 49_152), 30_081_024)],
)
def test_a_tensor_takes_its_blocks(type_id: int, shape: tuple[int, ...], expected: int) -> None:
    assert tensor_bytes(STORAGE_TYPES[type_id], shape) == expected


def test_a_row_of_half_a_block_is_no_tensor() -> None:
    with pytest.raises(ValueError, match="q4_k"):
        tensor_bytes(STORAGE_TYPES[12], (128, 2))


def test_an_unknown_file_type_has_no_name() -> None:
    assert quantization_name(999) is None
