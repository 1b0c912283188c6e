"""A plan in words; of cards that are alike, and of the machine, see cli/test_render_plan.py."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from localllm.api.views import ExplainedView, ModelView, PromptsView
from localllm.wording.plans import (
    how_kept,
    lack_of,
    name_of,
    part_named,
    set_aside,
    speeds_of,
    title_of,
    verdict_of,
)
from tests.unit.cli.a_plan import NO_SPEED, PREDICTED, a_candidate, a_memory, a_plan, too_big
from tests.unit.cli.test_render import CARD, MACHINE

EVIL, HARMLESS = "\x1b]0;x\x07\u202e", "?]0;x??"


@pytest.mark.parametrize(
    ("word", "said"),
    [("fits", "fits"), ("fits_partly", "fits partly"), ("too_big", "too big"), (None, "unknown")],
)
def test_a_verdict_is_a_word_or_two(word: str | None, said: str) -> None:
    assert verdict_of(word) == said


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (PromptsView(kept="saved", why=None), "kept on disk"),
        (PromptsView(kept="replayed", why="mlx saves nothing"),
         "read again in idle time, since mlx saves nothing"),
        (PromptsView(kept="not", why=f"it is\n{EVIL}"),
         f"kept in memory alone, since it is {HARMLESS}"),
        (PromptsView(kept="not", why=None), "kept in memory alone"),
    ],
)  # fmt: skip
def test_prompts_are_kept_somewhere_and_where_it_is_known_for_a_reason(
    prompts: PromptsView, said: str
) -> None:
    assert how_kept(prompts) == said


def test_what_is_set_aside_is_how_prompts_are_kept_and_what_earlier_ones_may_take() -> None:
    kept = PromptsView(kept="saved", why=None)
    memory = a_memory(weights=8192, host_cache=720)

    assert set_aside(a_candidate("Q4_K_M")) is None
    assert set_aside(a_candidate("Q4_K_M", prompts=kept)) == "prompts: kept on disk"
    assert set_aside(a_candidate("Q4_K_M", prompts=kept, memory=memory)) == (
        "prompts: kept on disk; 720 MiB of memory are set aside for earlier ones"
    )


def test_names_of_others_cannot_steer_a_terminal() -> None:
    card = replace(CARD, name=f"card{EVIL}")
    model = ModelView(
        id=f"m{EVIL}", name=None, architecture="llama", parameters=1, context_trained=None
    )
    one = a_candidate(f"Q4{EVIL}", lacks=f"is worse{EVIL}")
    view = a_plan(one, hardware=replace(MACHINE, devices=[card]), model=model)

    assert title_of(view) == f"m{HARMLESS} on card{HARMLESS} (19.0 GiB usable)"
    assert name_of(one, view) == f"Q4{HARMLESS}"
    assert name_of(one, replace(view, model=None)) == f"m-27b Q4{HARMLESS}"
    assert lack_of(one) == f"is worse{HARMLESS}"


def test_what_does_not_fit_has_a_reason_and_lacks_nothing_beside_others() -> None:
    assert lack_of(too_big("Q8_0", 26)) is None
    assert lack_of(a_candidate("Q4_K_M")) is None


def test_parts_are_called_as_people_do() -> None:
    explained = ExplainedView(device="cpu", part="kv_cache", bytes=1, formula="")

    assert part_named(explained.part) == "KV cache"


def test_speeds_are_of_one_stream_and_of_its_first_token_where_they_are_known() -> None:
    bare = replace(PREDICTED, first_token=None)

    assert speeds_of(a_candidate("Q4_K_M", speed=NO_SPEED)) == []
    assert speeds_of(a_candidate("Q4_K_M", speed=bare)) == [
        "one stream: 44 tok/s at an empty cache, 32 at a full one (predicted)"
    ]
    assert speeds_of(a_candidate("Q4_K_M"))[1:] == [
        "first token of a prompt of 20000: 7.4 s cold, 0.03 s from the cache"
    ]
