"""Reads paths as people write them into variables. Computing a path creates nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def expanded(text: str, environment: Mapping[str, str]) -> Path:
    """Read a path in which ~ and variables may stand; variables that are not set stay."""
    home = os.path.expanduser(text)  # noqa: PTH111  # Path's own raises for ~nobody
    return Path(_VARIABLE.sub(lambda m: environment.get(m[1] or m[2], m[0]), home))
