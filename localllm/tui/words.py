"""As much of a text as has room. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len


def as_many_as_fit(parts: Sequence[str], between: str, width: int) -> str:
    """Join those that have room, the first of them in any case.

    >>> as_many_as_fit(("one", "a longer one", "two"), "; ", 10)
    'one; two'
    """
    said = parts[0] if parts else ""
    for part in parts[1:]:
        if cell_len(said) + len(between) + cell_len(part) <= width:
            said += between + part
    return said
