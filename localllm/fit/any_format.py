"""Plans one model by the formulas of whatever runs its format."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.fit.decide import plan as plan_llama_cpp
from localllm.fit.decide_mlx import plan_mlx
from localllm.fit.plan import Budget, Plan, Wish
from localllm.formats.header import Format, Header


def plan(header: Header, budgets: Sequence[Budget], wish: Wish) -> Plan:
    """Plan for mlx-lm what is MLX's, and everything else as llama.cpp would run it.

    Raises:
        UnsupportedArchitecture: The formulas do not cover the model.
    """
    planned_by = plan_mlx if header.format is Format.MLX else plan_llama_cpp
    return planned_by(header, budgets, wish)
