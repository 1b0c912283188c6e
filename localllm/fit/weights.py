"""What weights take where, tensor by tensor, as the backend's allocator rounds them up."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from localllm.fit.cache import padded
from localllm.formats.header import Tensor
from localllm.formats.quantization import STORAGE_TYPES

ALIGNMENT = {"cuda": 128, "rocm": 128, "cpu": 32, "metal": 32, "vulkan": 64}
"""Bytes that a backend's buffers round a tensor up to. Source: ggml, get_alignment of each."""

ROW_PADDED = frozenset({"cuda", "rocm"})
ROW_STEP = 512
"""Elements that these backends lengthen the last row of a quantized tensor to.

Source: ggml/src/ggml-cuda/ggml-cuda.cu, buffer_type_get_alloc_size."""

UNQUANTIZED = frozenset(t.name for t in STORAGE_TYPES.values() if t.block == 1)


def allocated_bytes(tensors: Iterable[Tensor], kind: str) -> int:
    """Size of a buffer that holds all of these.

    Args:
        kind: How the device is driven: cuda, rocm, metal, vulkan or cpu.
    """
    alignment = ALIGNMENT.get(kind, 256)
    return sum(padded(_allocated(t, kind), alignment) for t in tensors)


def _allocated(tensor: Tensor, kind: str) -> int:
    if kind not in ROW_PADDED or tensor.type in UNQUANTIZED:
        return tensor.size_bytes
    missing = -tensor.shape[0] % ROW_STEP
    return tensor.size_bytes + missing * tensor.size_bytes // prod(tensor.shape)
