"""How fast an instance reads before its requests have told."""

from __future__ import annotations

from localllm.metrics.savings import FEWEST_TOKENS
from localllm.supervisor.fleet import Fleet


def prefill_tps(fleet: Fleet, instance: str) -> float | None:
    """As its start measured it with a prompt that tells, else as its plan has it at best.

    Returns:
        Tokens per second; None where neither is known, or the instance is gone.
    """
    hosted = next((one for one in fleet.instances() if one.id == instance), None)
    if hosted is None:
        return None
    measured = hosted.runner.measured
    if measured is not None and measured.speed.prompt_tokens >= FEWEST_TOKENS:
        return measured.speed.prefill_tps
    planned = hosted.planned.plan.speed
    if planned is None:
        return None
    # what a plan has from an earlier start was measured with a prompt as short as this one's
    return planned.prefill_high_tps or (None if planned.measured else planned.prefill_tps)
