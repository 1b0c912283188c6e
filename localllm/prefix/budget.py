"""How much of the disk saved prompts may take."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from localllm.prefix.files import files_of, size_of
from localllm.units import GIB

_MOST_BYTES = 20 * GIB


def decide_budget_bytes(max_gib: float | None, *, free_bytes: int, held_bytes: int) -> int:
    """How much may lie there: what the user says, else a tenth of the free disk, at most 20 GiB.

    Whatever the user says, a tenth of the free disk stays free.

    Args:
        held_bytes: By the shelf itself; they are as good as free.
    """
    a_tenth_bytes = (free_bytes + held_bytes) // 10
    if max_gib is not None:
        return min(int(max_gib * GIB), 9 * a_tenth_bytes)
    return min(a_tenth_bytes, _MOST_BYTES)


def read_budget_bytes(folder: Path, max_gib: float | None) -> int:
    """Ask the disk how much may lie in a folder, which need not be there yet."""
    place = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path("/"))
    try:
        free_bytes = shutil.disk_usage(place).free
    except OSError:
        free_bytes = 0
    return decide_budget_bytes(max_gib, free_bytes=free_bytes, held_bytes=read_held_bytes(folder))


def read_held_bytes(folder: Path) -> int:
    """Ask how much lies there: what is being written, and what other versions left, among it."""
    return sum(size_of(file) or 0 for file in files_of(folder))
