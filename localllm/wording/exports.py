"""The environment of an agent, as a shell sets it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from localllm.wording.plain import plain

_KEY = "$LOCALLLM_API_KEY"


def exports(environment: Mapping[str, str]) -> list[str]:
    """Say variables as a shell sets them; what stands for the key is left for it to fill in."""
    said = {k: f'"{v}"' if v == _KEY else shlex.quote(v) for k, v in environment.items()}
    return [plain(f"export {name}={value}") for name, value in said.items()]


def settings_head(model: str, endpoint: str, context: int) -> str:
    """Say what is served where, and how much it holds."""
    return plain(f"{model} at {endpoint}, {context:,} tokens of context")
