"""How GGML stores numbers: what each type id means and how many bytes it takes.

Source: ggml/include/ggml.h and gguf-py's constants.py; checked against the `gguf` package in
tests/unit/formats/test_quantization.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class StorageType:
    """One way to store a row of numbers: in blocks of so many elements, of so many bytes."""

    name: str
    """As llama.cpp prints it, lower case."""

    block: int
    block_bytes: int


STORAGE_TYPES = {
    0: StorageType("f32", 1, 4),
    1: StorageType("f16", 1, 2),
    2: StorageType("q4_0", 32, 18),
    3: StorageType("q4_1", 32, 20),
    6: StorageType("q5_0", 32, 22),
    7: StorageType("q5_1", 32, 24),
    8: StorageType("q8_0", 32, 34),
    9: StorageType("q8_1", 32, 40),
    10: StorageType("q2_k", 256, 84),
    11: StorageType("q3_k", 256, 110),
    12: StorageType("q4_k", 256, 144),
    13: StorageType("q5_k", 256, 176),
    14: StorageType("q6_k", 256, 210),
    15: StorageType("q8_k", 256, 292),
    16: StorageType("iq2_xxs", 256, 66),
    17: StorageType("iq2_xs", 256, 74),
    18: StorageType("iq3_xxs", 256, 98),
    19: StorageType("iq1_s", 256, 50),
    20: StorageType("iq4_nl", 32, 18),
    21: StorageType("iq3_s", 256, 110),
    22: StorageType("iq2_s", 256, 82),
    23: StorageType("iq4_xs", 256, 136),
    24: StorageType("i8", 1, 1),
    25: StorageType("i16", 1, 2),
    26: StorageType("i32", 1, 4),
    27: StorageType("i64", 1, 8),
    28: StorageType("f64", 1, 8),
    29: StorageType("iq1_m", 256, 56),
    30: StorageType("bf16", 1, 2),
    34: StorageType("tq1_0", 256, 54),
    35: StorageType("tq2_0", 256, 66),
    39: StorageType("mxfp4", 32, 17),
    40: StorageType("nvfp4", 64, 36),
    41: StorageType("q1_0", 128, 18),
}
"""By the id that a GGUF file's tensor table holds."""

FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
}
"""By the number in `general.file_type`: the mix of types that a file was made with."""

GUESSED = 1024
"""Added to the number by tools that looked at the tensors instead of being told."""


def tensor_bytes(storage: StorageType, shape: Sequence[int]) -> int:
    """Size of a tensor; `shape` has the innermost dimension first.

    Raises:
        ValueError: The innermost dimension does not consist of whole blocks.
    """
    if shape[0] % storage.block:
        raise ValueError(f"rows of {shape[0]} do not divide into {storage.name} blocks")
    return prod(shape) // storage.block * storage.block_bytes


def quantization_name(file_type: int) -> str | None:
    """What people call it, as in Q4_K_M; None for a number that we do not know."""
    return FILE_TYPES.get(file_type & ~GUESSED)
