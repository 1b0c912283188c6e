"""What of a model's prompts outlives its engine, and why not all of it does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from localllm.engines.base import SAVES_CHECKPOINTS, SAVES_SLOTS, Task
from localllm.planning.planner import Planned


class Kept(StrEnum):
    """How a prompt is there again after its engine was ended."""

    SAVED = "saved"
    """What the engine has read is on disk, and put back."""

    REPLAYED = "replayed"
    """Its text is on disk, and read again while nobody asks for anything."""

    NOT = "not"
    """While the engine runs, in its own cache alone."""


@dataclass(frozen=True, slots=True)
class PromptKeeping:
    """Of one plan."""

    kept: Kept
    why: str | None = None
    """Why it is not saved; None where it is."""

    pins_slots: bool = False
    """Whether a request can be sent to the slot that has most of its prompt."""


def how_prompts_are_kept(planned: Planned, *, enabled: bool = True) -> PromptKeeping:
    """Say how.

    Args:
        enabled: By the user's settings.
    """
    engine = planned.choice.installed.engine
    if planned.task is not Task.WRITE:
        return PromptKeeping(Kept.NOT, "it writes no answers")
    if not enabled:
        return PromptKeeping(Kept.NOT, "it is turned off: prefix.enabled in config.toml")
    if SAVES_SLOTS not in planned.choice.installed.abilities:
        return PromptKeeping(Kept.REPLAYED, f"{engine} does not save what it has read")
    why = _why_not_saved(planned, engine)
    return PromptKeeping(Kept.SAVED if why is None else Kept.REPLAYED, why, pins_slots=True)


def _why_not_saved(planned: Planned, engine: str) -> str | None:
    """Say why what slots hold is not put on disk, though the engine can.

    Source: check_no_mtmd in llama.cpp's tools/server; of a draft's cache nothing is written there.
    """
    if planned.stored.projector is not None and planned.plan.memory.projector:
        return f"{engine} saves nothing where images are read"
    if planned.companions.draft is not None:
        return f"{engine} saves nothing of what a draft has read"
    return _why_it_could_not_go_back(planned, engine)


def _why_it_could_not_go_back(planned: Planned, engine: str) -> str | None:
    """Say why what was saved would be read again at the first difference; of most models it is not.

    How MLX keeps windows and states is its worker's own affair: its plans have no checkpoints.
    """
    if not planned.plan.checkpoint_bytes:
        return None
    if not planned.plan.checkpoints:
        return "there is no memory for checkpoints, which this model needs to go back in a prompt"
    if SAVES_CHECKPOINTS not in planned.choice.installed.abilities:
        return (
            f"{engine} does not save the checkpoints that this model needs to go back in a prompt"
        )
    return None
