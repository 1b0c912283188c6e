"""Writes files that have a model's header and full length, and none of its weights.

An engine refuses a file that ends before its tensors do. A sparse one has the length and
occupies no more than the header; what would be weights reads as zeros.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a model's; the only one, for a model that is not split."""

    header: bytes
    """From the start of the file up to the first tensor's data, at least."""

    file_bytes: int
    """The length of the whole file."""


def write_sparse(parts: Sequence[Part], folder: Path) -> Path:
    """Write all parts of a model into `folder`; return the one that an engine is given.

    Parts get the names by which llama.cpp finds the others: all of one stem, numbered from 1.
    Source: llama_split_path in llama.cpp, src/llama.cpp.

    Raises:
        OSError: The disk is full, or a file may not be that long.
        ValueError: There are no parts, or a header is longer than its file.
    """
    if not parts or any(len(part.header) > part.file_bytes for part in parts):
        raise ValueError("a model has at least one part, and none is longer than its file")
    names = (
        ["model.gguf"]
        if len(parts) == 1
        else [f"model-{n:05}-of-{len(parts):05}.gguf" for n in range(1, len(parts) + 1)]
    )
    for name, part in zip(names, parts, strict=True):
        (folder / name).write_bytes(part.header)
        os.truncate(folder / name, part.file_bytes)
    return folder / names[0]
