"""What is replayed, when it is due, what it waits for, and what is said of what does not fit."""

from __future__ import annotations

import pytest

from localllm.api.traffic_file import Shape
from localllm.bench.replay_plan import Served, Turn, plan_replay
from tests.unit.bench.a_shape import a_shape, traffic_of

SERVED = Served("m", 4096)


def turns_of(*shapes: Shape) -> dict[int, Turn]:
    return {turn.shape.id: turn for turn in plan_replay(traffic_of(*shapes), SERVED).turns}


def notes_of(*shapes: Shape, served: Served = SERVED, torn: bool = False) -> str:
    return "\n".join(plan_replay(traffic_of(*shapes, torn=torn), served).notes)


MARKED = {"hash_ids": [0, 1]}


def test_requests_are_due_as_they_came_after_the_first_one() -> None:
    turns = turns_of(a_shape(3), a_shape(5), a_shape(9))

    assert [turn.at_s for turn in turns.values()] == [0.0, 2.0, 6.0]


def test_a_turn_comes_after_what_it_goes_on_from_with_the_pause_that_was_between() -> None:
    turns = turns_of(a_shape(1), a_shape(2), a_shape(3, goes_on_from=1))

    assert (turns[2].before, turns[3].before, turns[3].pause_s) == (None, 1, 1.5)


def test_a_turn_comes_after_the_last_one_of_its_conversation() -> None:
    turns = turns_of(*(a_shape(n, conversation=n % 2) for n in range(1, 5)))

    assert [turns[n].before for n in range(1, 5)] == [None, None, 1, 2]


def test_a_turn_does_not_wait_for_one_that_was_not_over_then() -> None:
    turns = turns_of(a_shape(1, conversation=1, total_ms=5000.0), a_shape(2, conversation=1))

    assert turns[2].before is None


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (a_shape(1, api="embeddings"), "1 request of embeddings, which writes nothing"),
        (a_shape(1, input_length=None), "1 request whose prompt no engine has read"),
        (a_shape(1, input_length=4090), "1 request longer than m's context of 4,096 tokens"),
    ],
)
def test_what_cannot_be_sent_is_left_out_and_told(shape: Shape, said: str) -> None:
    plan = plan_replay(traffic_of(shape, a_shape(2, **MARKED)), SERVED)

    assert ([turn.shape.id for turn in plan.turns], plan.left_out) == ([2], 1)
    assert plan.notes == ["left out: " + said]


def test_a_request_that_just_fits_is_sent() -> None:
    assert len(turns_of(a_shape(1, input_length=4088))) == 1


@pytest.mark.parametrize(
    ("shape", "served", "said"),
    [
        (a_shape(1, model="big", **MARKED), SERVED, "1 request of big sent to m"),
        (a_shape(1, **MARKED), Served("m", 8192), "a context of 4,096 tokens, 8,192 now"),
        (a_shape(1), SERVED, "of 1 request the cache structure is not known"),
        (
            a_shape(1, ended="cancelled", **MARKED),
            SERVED,
            "1 request was cancelled: an answer ends",
        ),
    ],
)
def test_what_is_not_as_it_was_is_told(shape: Shape, served: Served, said: str) -> None:
    assert said in notes_of(shape, served=served)


def test_nothing_is_told_where_all_is_as_it_was() -> None:
    assert notes_of(a_shape(1, **MARKED)) == ""
    assert (
        notes_of(a_shape(1, **MARKED), torn=True)
        == "the file's last line is not whole, and left out"
    )


def test_a_length_that_no_prompt_can_have_is_left_out_though_nobody_knows_the_context() -> None:
    plan = plan_replay(
        traffic_of(a_shape(1, input_length=1 << 40), context=None), Served("m", None)
    )

    assert not plan.turns
    assert plan.notes == ["left out: 1 request longer than 16,777,216 tokens"]


def test_recorded_prompts_may_be_in_the_cache_from_another_pass_which_is_told() -> None:
    said = notes_of(a_shape(1, body={"prompt": "once"}))

    assert (
        said == "1 request sent as recorded: what another pass or replay sent may be in the cache"
    )
