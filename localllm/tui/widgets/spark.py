"""What a number was lately, as one line. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS, _PLAIN = "▁▂▃▄▅▆▇█", "_.,-=+*#"


def spark(values: Sequence[float], width: int, *, blocks: bool = True) -> str:
    """Draw the newest values, the last at the right; nothing happened is the lowest line.

    >>> spark((0, 1, 2, 4), 6)
    '  ▁▃▅█'
    """
    glyphs = _BLOCKS if blocks else _PLAIN
    newest = list(values)[-width:] if width > 0 else []
    highest = max(newest, default=0.0)
    drawn = "".join(glyphs[_level(value, highest, len(glyphs))] for value in newest)
    return drawn.rjust(width)


def _level(value: float, highest: float, levels: int) -> int:
    if value <= 0 or highest <= 0:
        return 0
    return max(1, round((levels - 1) * value / highest))
