"""What of a model's prompts outlives its engine, and why not all of it does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from localllm.config.settings import Prefix
from localllm.engines.base import SAVES_CHECKPOINTS, SAVES_SLOTS, Task
from localllm.planning.planner import Planned

AS_IT_COMES = Prefix()


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


def how_prompts_are_kept(planned: Planned, wanted: Prefix = AS_IT_COMES) -> PromptKeeping:
    """Say how.

    Args:
        wanted: The user's settings.
    """
    installed = planned.choice.installed
    if planned.task is not Task.WRITE:
        return PromptKeeping(Kept.NOT, "it writes no answers")
    if not wanted.enabled:
        return PromptKeeping(Kept.NOT, "it is turned off: prefix.enabled in config.toml")
    pins_slots = SAVES_SLOTS in installed.abilities
    if wanted.max_gib == 0:
        no_room = "it may take no room on disk: prefix.max_gib in config.toml"
        return PromptKeeping(Kept.NOT, no_room, pins_slots)
    why = _why_not_saved(planned)
    if why is None:
        return PromptKeeping(Kept.SAVED, pins_slots=True)
    if not wanted.warm:
        return PromptKeeping(Kept.NOT, f"{why}, and prefix.warm in config.toml is off", pins_slots)
    return PromptKeeping(Kept.REPLAYED, why, pins_slots)


def _why_not_saved(planned: Planned) -> str | None:
    """Say why what slots hold is not put on disk; None where it is.

    Source: check_no_mtmd in llama.cpp's tools/server; of a draft's cache nothing is written there.
    """
    engine = planned.choice.installed.engine
    if SAVES_SLOTS not in planned.choice.installed.abilities:
        return f"{engine} does not save what it has read"
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
