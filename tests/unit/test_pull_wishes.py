"""What is to be served once it is here is remembered with its pull, and forgotten with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.api.views import ServeReply, ServeRequest
from localllm.store.pull_talk import Failure
from localllm.supervisor import pull_messages as msg
from localllm.supervisor.pull_queue import KEPT_FINISHED, without_old
from localllm.supervisor.pull_wishes import (
    is_due,
    next_due,
    next_without_engine,
    waiting,
    with_then,
)
from localllm.supervisor.pulling_list import Pull, PullPolicy, PullState, step
from tests.fakes.a_yard import a_plan, a_yard

S = PullState
A, B = (msg.Then("switch", ServeRequest(model=name)) for name in "ab")
BESIDE = msg.Then("serve", ServeRequest(model="c"))
REPLY = ServeReply(id="a", instance="a:1", already=False, stand_in=False, reason="it fits")
FAILURE = Failure(code="no_space", what="Full.", why="it is", fix="empty it")


def a_pull(then: msg.Then | None, state: S = S.QUEUED, turn: int = 1) -> Pull:
    plan = a_plan("waits")
    wanted = msg.Wanted("m", "Q8_0", "it fits", plan.job)
    return Pull(f"p{turn}", wanted, state, turn=turn, then=then)


def after(pull: Pull, happened: msg.Input) -> Pull:
    return step(pull, happened, 0.0, PullPolicy())[0]


@pytest.mark.parametrize("state", [S.QUEUED, S.PAUSED, S.FAILED])
def test_who_cancels_a_pull_does_not_want_it_served(state: S) -> None:
    assert after(a_pull(A, state), msg.Cancel()).then is None


@pytest.mark.parametrize("state", [S.QUEUED, S.FETCHING, S.PAUSED, S.FAILED])
def test_what_is_asked_again_is_served_as_was_asked_last(state: S) -> None:
    assert after(a_pull(A, state), msg.Resume(9, then=BESIDE)).then == BESIDE
    assert after(a_pull(A, state), msg.Resume(9)).then == A


def test_what_is_here_and_cancelled_before_it_is_served_stays_here() -> None:
    lacking = replace(A, lacks_engine=True)

    cancelled, effects = step(a_pull(lacking, S.DONE), msg.Cancel(), 0.0, PullPolicy())

    assert (cancelled.state, cancelled.then, effects) == (S.DONE, None, ())
    begun = a_pull(replace(A, reply=REPLY), S.DONE)
    assert after(begun, msg.Cancel()) is begun


def test_who_has_agreed_to_an_engine_has_agreed_for_what_is_asked_later_too() -> None:
    lacking = a_pull(replace(A, lacks_engine=True))
    refused = a_pull(replace(A, lacks_engine=True, refused=FAILURE))

    assert after(lacking, msg.Resume(9, then=B)).then == replace(B, lacks_engine=True)
    assert after(refused, msg.Resume(9, then=B)).then == B


def test_what_is_to_be_served_is_not_among_the_old_that_are_left_out() -> None:
    waits = a_pull(A, S.DONE, 1)
    newer = [replace(a_pull(None, S.DONE, n), ended_at=float(n)) for n in range(2, 99)]

    kept = without_old({pull.id: pull for pull in [waits, *newer]})

    assert next(iter(kept)) == "p1"
    assert len(kept) == 1 + KEPT_FINISHED


def test_a_pause_and_a_failure_leave_what_is_wanted() -> None:
    assert after(a_pull(A), msg.Pause("by the user")).then == A
    running = replace(a_pull(A, S.FETCHING), alive=True)
    assert after(running, msg.Ended(0, failed=FAILURE)).then == A


def test_what_is_here_is_due_once_and_who_asked_first_comes_first() -> None:
    begun = replace(A, reply=REPLY)
    refused = replace(A, refused=FAILURE)
    pulls = [
        a_pull(A, S.FETCHING, 1),
        a_pull(begun, S.DONE, 2),
        a_pull(refused, S.DONE, 3),
        a_pull(None, S.DONE, 4),
        a_pull(B, S.DONE, 6),
        a_pull(BESIDE, S.DONE, 5),
    ]

    assert [is_due(pull) for pull in pulls] == [False, False, False, False, True, True]
    assert next_due(pulls) is pulls[-1]
    assert waiting(pulls) == {"p1": A, "p5": BESIDE, "p6": B}
    assert next_due(pulls[:4]) is None


def test_what_lacks_an_engine_waits_for_it_though_it_is_here() -> None:
    lacking = replace(A, lacks_engine=True)
    pulls = [a_pull(lacking, S.FETCHING, 1), a_pull(lacking, S.DONE, 2), a_pull(B, S.DONE, 3)]

    assert next_without_engine(pulls) is pulls[0]
    assert next_due(pulls) is pulls[2]
    assert next_without_engine([a_pull(replace(lacking, refused=FAILURE), S.DONE)]) is None


@pytest.mark.parametrize("state", [S.PAUSED, S.FAILED])
def test_no_engine_is_fetched_for_what_does_not_come(state: S) -> None:
    assert next_without_engine([a_pull(replace(A, lacks_engine=True), state)]) is None


def test_an_outcome_counts_only_for_what_is_still_wanted() -> None:
    begun = replace(A, reply=REPLY)

    assert with_then(a_pull(A), A, begun).then == begun
    assert with_then(a_pull(B), A, begun).then == B


async def test_a_switch_takes_the_place_of_what_waits_and_what_is_served_beside_does_not(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits-1"), A)
        yard.pulls.add(a_plan("waits-2"), BESIDE)
        assert yard.pulls.book.wishes() == {"p1": A, "p2": BESIDE}

        view = yard.pulls.add(a_plan("waits-3"), B)

        assert view.then is not None
        assert (view.then.how, view.then.request.model, view.then.reply) == ("switch", "b", None)
        assert yard.pulls.book.wishes() == {"p3": B}
        assert [v.then is None for v in yard.pulls.book.views()] == [True, True, False]


async def test_a_switch_that_is_asked_again_says_of_nothing_that_it_is_fetched_only(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"), replace(A, lacks_engine=True))
        yard.pulls.add(a_plan("waits"), A)

        assert yard.pulls.book.wishes() == {"p1": replace(A, lacks_engine=True)}
        await yard.until(lambda: yard.changes() == ["queued", "fetching"])


async def test_what_an_earlier_version_knows_is_all_that_it_reads_of_mere_pulls(
    tmp_path: Path,
) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"))

    [kept] = json.loads(yard.pulls.book._file.read_bytes())["pulls"]
    assert set(kept) <= {"id", "wanted", "state", "turn", "progress", "failure"}


@pytest.mark.parametrize("ends", [False, True])
async def test_what_is_to_be_served_outlives_the_daemon(tmp_path: Path, ends: bool) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"), A)
        if ends:
            yard.go()
            await yard.until_states("done")

    async with a_yard(tmp_path) as yard:
        assert yard.pulls.book.wishes() == {"p1": A}
        yard.go()
        await yard.until(yard.pulls.book.next_due)
        assert yard.pulls.under_way


async def test_what_was_begun_is_not_begun_again_by_the_next_daemon(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.go()
        yard.pulls.add(a_plan("waits"), A)
        await yard.until(yard.pulls.book.next_due)
        yard.pulls.book.settle("p1", A, replace(A, reply=REPLY))
        assert yard.pulls.book.views()[0].then.reply == REPLY
        assert not yard.pulls.under_way

    async with a_yard(tmp_path) as yard:
        assert yard.pulls.book.views() == []


async def test_what_somebody_else_has_brought_is_served_all_the_same(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"), A)
        yard.pulls.pause("p1")
        yard.pulls.add(a_plan("waits", on_disk=True))

        assert yard.pulls.book.next_due().then == A


async def test_a_file_of_an_earlier_version_has_nothing_to_be_served(tmp_path: Path) -> None:
    async with a_yard(tmp_path) as yard:
        yard.pulls.add(a_plan("waits"), A)
        file = yard.pulls.book._file
    kept = json.loads(file.read_bytes())
    del kept["pulls"][0]["then"]
    file.write_text(json.dumps(kept))

    async with a_yard(tmp_path) as yard:
        assert yard.states() == ["fetching"]
        assert yard.pulls.book.wishes() == {}


pytestmark = pytest.mark.anyio
