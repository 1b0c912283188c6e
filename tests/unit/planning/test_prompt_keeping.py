"""What of a model's prompts outlives its engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.config.settings import Prefix
from localllm.engines.base import SAVES_CHECKPOINTS, SAVES_SLOTS, Task
from localllm.fit.plan import Draft
from localllm.planning.companions import Companions
from localllm.planning.planner import Planned
from localllm.planning.prompt_keeping import Kept, PromptKeeping, how_prompts_are_kept
from tests.unit.planning.a_machine import a_plan


def able(planned: Planned, *more: str) -> Planned:
    installed = replace(planned.choice.installed, abilities=frozenset({SAVES_SLOTS, *more}))
    return replace(planned, choice=replace(planned.choice, installed=installed))


def reading_images(planned: Planned) -> Planned:
    plan, first = planned.plan, planned.plan.placement[0]
    memory = replace(first.memory, projector=1)
    placement = (replace(first, memory=memory), *plan.placement[1:])
    stored = replace(planned.stored, projector=Path("/models/mmproj.gguf"))
    return replace(planned, stored=stored, plan=replace(plan, placement=placement))


def test_what_slots_hold_is_saved_where_the_engine_can() -> None:
    assert how_prompts_are_kept(able(a_plan())) == PromptKeeping(Kept.SAVED, pins_slots=True)


def going_back(checkpoints: int = 3) -> Planned:
    """One with states or windows."""
    planned = a_plan()
    plan = replace(planned.plan, checkpoint_bytes=1 << 20, checkpoints=checkpoints)
    return replace(planned, plan=plan)


def test_states_and_windows_are_saved_with_their_checkpoints() -> None:
    planned = able(going_back(), SAVES_CHECKPOINTS)

    assert how_prompts_are_kept(planned) == PromptKeeping(Kept.SAVED, pins_slots=True)


@pytest.mark.parametrize(
    ("planned", "why"),
    [
        (replace(able(a_plan()), companions=Companions(draft=Draft(2))), "a draft has read"),
        (reading_images(able(a_plan())), "where images are read"),
        (able(going_back()), "xllamacpp does not save the checkpoints"),
        (able(going_back(0), SAVES_CHECKPOINTS), "no memory for checkpoints"),
    ],
    ids=["with a draft", "with images", "without their checkpoints", "without any"],
)
def test_where_the_engine_cannot_save_them_they_are_read_again_in_their_slots(
    planned: Planned, why: str
) -> None:
    keeping = how_prompts_are_kept(planned)

    assert (keeping.kept, keeping.pins_slots) == (Kept.REPLAYED, True)
    assert why in (keeping.why or "")


def test_an_engine_without_slots_to_save_chooses_itself_and_reads_again() -> None:
    keeping = how_prompts_are_kept(a_plan())

    assert (keeping.kept, keeping.pins_slots) == (Kept.REPLAYED, False)
    assert "does not save" in (keeping.why or "")


@pytest.mark.parametrize("task", [Task.EMBED, Task.RERANK])
def test_what_writes_no_answers_has_no_prompt_to_keep(task: Task) -> None:
    assert how_prompts_are_kept(replace(able(a_plan()), task=task)).kept is Kept.NOT


def test_it_can_be_turned_off() -> None:
    keeping = how_prompts_are_kept(able(a_plan()), Prefix(enabled=False))

    assert (keeping.kept, keeping.pins_slots) == (Kept.NOT, False)
    assert "turned off" in (keeping.why or "")


def test_where_they_may_take_no_room_slots_are_chosen_all_the_same() -> None:
    keeping = how_prompts_are_kept(able(a_plan()), Prefix(max_gib=0))

    assert (keeping.kept, keeping.pins_slots) == (Kept.NOT, True)
    assert "prefix.max_gib" in (keeping.why or "")


def test_what_would_be_read_ahead_is_not_even_kept_where_nothing_is_to_be_read_ahead() -> None:
    drafted = replace(able(a_plan()), companions=Companions(draft=Draft(2)))

    keeping = how_prompts_are_kept(drafted, Prefix(warm=False))

    assert (keeping.kept, keeping.pins_slots) == (Kept.NOT, True)
    assert "prefix.warm" in (keeping.why or "")
    assert how_prompts_are_kept(able(a_plan()), Prefix(warm=False)).kept is Kept.SAVED
