"""What a number was lately, as one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float], width: int) -> str:
    """Draw the newest values, the last at the right; nothing happened is the lowest line.

    >>> spark((0, 1, 2, 4), 6)
    '  ▁▃▅█'
    """
    newest = list(values)[-width:] if width > 0 else []
    highest = max(newest, default=0.0)
    drawn = "".join(_BLOCKS[_level(value, highest)] for value in newest)
    return drawn.rjust(width)


def _level(value: float, highest: float) -> int:
    if value <= 0 or highest <= 0:
        return 0
    return max(1, round((len(_BLOCKS) - 1) * value / highest))
