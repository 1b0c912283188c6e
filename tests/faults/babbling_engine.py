#!/usr/bin/env python3
"""`fake_engine.py` that says one word for ever, as broken weights do, where it has 4096 tokens."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes"))
import fake_engine

_TOKENS = 24


def babble(alias: str, _tokens: int) -> dict[str, object]:
    return sane(alias, _TOKENS)


sane = fake_engine.completion
if "4096" in sys.argv:
    fake_engine.completion = babble
fake_engine.main()
