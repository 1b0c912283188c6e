"""Reads a model's files into free host memory, so that starting it need not wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from localllm.store.listing import set_of
from localllm.store.stored import StoredModel
from localllm.supervisor.read_ahead import read_ahead

_LEFT_SHARE = 10
"""A tenth of the memory stays out of it."""


def read_model_ahead(stored: StoredModel, going_on: Callable[[], bool]) -> int:
    """Read what there is room for; return the bytes that were read. Blocks."""
    memory = psutil.virtual_memory()
    limit_bytes = max(0, memory.available - memory.total // _LEFT_SHARE)
    return read_ahead(_files_of(stored), limit_bytes, going_on)


def _files_of(stored: StoredModel) -> Sequence[Path]:
    if stored.file.is_dir():
        return sorted(stored.file.glob("*.safetensors"))
    if stored.parts == 1:
        return [stored.file]
    return [stored.file.parent / part.path for part in set_of(stored.file).files]
