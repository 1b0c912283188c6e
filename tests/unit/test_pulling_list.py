"""What becomes of a pull, whoever asks for what and however its process ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.store.job import FileProgress, FileState, PullJob, PullProgress
from localllm.store.pull_talk import Failure
from localllm.store.repository import RepositoryFile
from localllm.supervisor import pull_messages as msg
from localllm.supervisor.pull_queue import (
    KEPT_FINISHED,
    decide_starts,
    find_same,
    needed_etags,
    share_of_pace,
    without_old,
)
from localllm.supervisor.pull_speed import STILL, Speed, left_s
from localllm.supervisor.pull_view import render_pull
from localllm.supervisor.pulling_list import Pull, PullPolicy, PullState, step

S = PullState
POLICY = PullPolicy(at_once=2, max_crashes=2, network_tries=4, backoff_first_s=1.0)
OFFLINE = Failure(code="no_network", what="No answer.", why="it is so", fix="wait")
FULL = Failure(code="no_space", what="Full.", why="it is so", fix="empty it")
KILLED = msg.Ended(1, code=-9)


def a_job(*paths: str, repo: str = "o/r", commit: str = "a" * 40) -> PullJob:
    files = tuple(RepositoryFile(path, 100, sha256=path[0] * 64) for path in paths or ("a.gguf",))
    return PullJob(repo, commit, files)


def a_pull(state: S = S.QUEUED, *, name: str = "p1", job: PullJob | None = None) -> Pull:
    alive = state is S.FETCHING
    wanted = msg.Wanted("m", "Q8_0", "it fits", job or a_job())
    return Pull(name, wanted, state, turn=int(name[1:]), run=int(alive), alive=alive)


def at(here: int, state: FileState = FileState.FETCHING, note: str | None = None) -> PullProgress:
    return PullProgress((FileProgress("a.gguf", 100, here, state),), note)


def after(pull: Pull, *happened: msg.Input, now: float = 0.0) -> Pull:
    for one in happened:
        pull, _ = step(pull, one, now, POLICY)
    return pull


PAUSE, RESUME = msg.Pause("by the user"), msg.Resume(9)
CANCEL, BEGIN, STOP = msg.Cancel(), msg.Begin(), msg.StopAll()


@pytest.mark.parametrize(
    ("state", "happened", "then", "effects"),
    [
        (S.QUEUED, BEGIN, S.FETCHING, [msg.Spawn(1)]),
        (S.QUEUED, PAUSE, S.PAUSED, []),
        (S.QUEUED, CANCEL, S.CANCELLED, [msg.Clear()]),
        (S.QUEUED, STOP, S.QUEUED, []),
        (S.QUEUED, RESUME, S.QUEUED, []),
        (S.FETCHING, BEGIN, S.FETCHING, []),
        (S.FETCHING, PAUSE, S.PAUSED, [msg.Kill()]),
        (S.FETCHING, CANCEL, S.CANCELLED, [msg.Kill()]),
        (S.FETCHING, STOP, S.QUEUED, [msg.Kill()]),
        (S.FETCHING, RESUME, S.FETCHING, []),
        (S.FETCHING, msg.Ended(1, done=True), S.DONE, []),
        (S.FETCHING, msg.Ended(1, failed=FULL), S.FAILED, []),
        (S.FETCHING, msg.Ended(1, code=1), S.FAILED, []),
        (S.FETCHING, KILLED, S.QUEUED, [msg.WakeAt(8.0)]),
        (S.FETCHING, msg.Ended(1, why="no memory"), S.QUEUED, [msg.WakeAt(8.0)]),
        (S.FETCHING, msg.Ended(0, code=-9), S.FETCHING, []),
        (S.PAUSED, RESUME, S.QUEUED, []),
        (S.PAUSED, msg.Arrive(), S.DONE, []),
        (S.FAILED, msg.Arrive(), S.DONE, []),
        (S.FETCHING, msg.Arrive(), S.FETCHING, []),
        (S.CANCELLED, msg.Arrive(), S.CANCELLED, []),
        (S.PAUSED, CANCEL, S.CANCELLED, [msg.Clear()]),
        (S.PAUSED, BEGIN, S.PAUSED, []),
        (S.FAILED, RESUME, S.QUEUED, []),
        (S.FAILED, CANCEL, S.CANCELLED, [msg.Clear()]),
        (S.FAILED, PAUSE, S.FAILED, []),
        (S.CANCELLED, RESUME, S.QUEUED, []),
        (S.CANCELLED, CANCEL, S.CANCELLED, []),
        (S.DONE, RESUME, S.DONE, []),
        (S.DONE, CANCEL, S.DONE, []),
        (S.DONE, PAUSE, S.DONE, []),
    ],
)
def test_what_follows_what(
    state: S, happened: msg.Input, then: S, effects: list[msg.Effect]
) -> None:
    pull, told = step(a_pull(state), happened, 7.0, POLICY)

    assert (pull.state, list(told)) == (then, effects)


def test_what_has_come_of_a_cancelled_one_is_removed_when_its_process_is_gone() -> None:
    pull = after(a_pull(S.FETCHING), CANCEL)

    pull, effects = step(pull, KILLED, 0.0, POLICY)

    assert (pull.state, list(effects)) == (S.CANCELLED, [msg.Clear()])


def test_one_that_is_resumed_at_once_waits_until_its_old_process_is_gone() -> None:
    pull = after(a_pull(S.FETCHING), PAUSE, RESUME)
    assert (pull.state, decide_starts([pull], POLICY, 0.0)) == (S.QUEUED, [])

    pull = after(pull, KILLED)

    assert (pull.state, decide_starts([pull], POLICY, 0.0)) == (S.QUEUED, ["p1"])


def test_one_that_the_system_kills_is_tried_again_with_growing_pauses_and_then_fails() -> None:
    pull, pauses = a_pull(S.FETCHING), []
    for _ in range(POLICY.max_crashes):
        pull = after(pull, msg.Ended(pull.run, code=-9))
        pauses.append(pull.not_before)
        assert decide_starts([pull], POLICY, 0.5) == []
        pull = after(pull, BEGIN, now=pull.not_before)

    pull = after(pull, msg.Ended(pull.run, code=-9))

    assert pauses == [1.0, 2.0]
    assert pull.state is S.FAILED
    assert pull.failure is not None
    assert "killed by signal 9" in pull.failure.why


def test_one_that_gets_on_between_its_deaths_is_tried_for_ever() -> None:
    pull = a_pull(S.FETCHING)
    for here in range(10, 90, 10):
        moved = [msg.Progressed(pull.run, at(here)), msg.Progressed(pull.run, at(here + 5))]
        pull = after(pull, *moved, msg.Ended(pull.run, code=-9))
        assert (pull.state, pull.not_before) == (S.QUEUED, 1.0)
        pull = replace(after(pull, BEGIN, now=1.0), not_before=0.0)


def test_one_that_was_whole_before_it_was_stopped_is_done() -> None:
    paused = after(a_pull(S.FETCHING), PAUSE, msg.Ended(1, done=True))

    assert (paused.state, paused.alive) == (S.DONE, False)


def test_another_revision_is_another_pull() -> None:
    running = replace(a_pull(S.FETCHING), wanted=msg.Wanted("m", "Q8_0", "", a_job()))
    of_a_branch = replace(running, wanted=replace(running.wanted, job=replace(a_job(), ref="main")))

    def same(pull: Pull, job: PullJob) -> bool:
        return find_same([pull], msg.Wanted("m", "Q8_0", "", job)) is not None

    assert same(running, a_job())
    assert not same(running, a_job(commit="b" * 40))
    assert same(of_a_branch, replace(a_job(commit="b" * 40), ref="main")), "it has moved on"
    assert not same(of_a_branch, replace(a_job(commit="b" * 40), ref="v2"))


def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    busy = Failure(code="no_network", what="Busy.", why="429", fix="wait", retry_after_s=120.0)
    brought = after(a_pull(S.FETCHING), msg.Progressed(1, at(10)), msg.Progressed(1, at(20)))

    waiting = after(brought, msg.Ended(1, failed=busy), now=5.0)

    assert (waiting.state, waiting.not_before) == (S.QUEUED, 125.0)


def test_a_refusal_is_kept_and_forgotten_when_it_is_tried_again() -> None:
    failed = after(a_pull(S.FETCHING), msg.Ended(1, failed=FULL))
    assert failed.failure == FULL

    assert after(failed, RESUME).failure is None


def test_one_that_has_brought_something_waits_for_the_network_to_come_back() -> None:
    moved = [msg.Progressed(1, at(10)), msg.Progressed(1, at(20))]

    pull = after(a_pull(S.FETCHING), *moved, msg.Ended(1, failed=OFFLINE))

    assert (pull.state, pull.why) == (S.QUEUED, "No answer: again in 1 s")
    assert after(pull, BEGIN, msg.Ended(2, failed=FULL), now=1.0).state is S.FAILED


def test_one_that_a_restart_has_found_waits_for_the_network_but_not_for_ever() -> None:
    pull = replace(a_pull(S.FETCHING), patient=True)
    for _ in range(POLICY.network_tries):
        pull = after(pull, msg.Ended(pull.run, failed=OFFLINE))
        assert pull.state is S.QUEUED
        pull = after(pull, BEGIN, now=pull.not_before)

    assert after(pull, msg.Ended(pull.run, failed=OFFLINE)).state is S.FAILED


def test_one_that_never_had_a_network_fails_at_once_also_if_half_of_it_is_here() -> None:
    looked = [msg.Progressed(1, at(0, FileState.WAITING)), msg.Progressed(1, at(50))]

    pull = after(a_pull(S.FETCHING), *looked, msg.Ended(1, failed=OFFLINE))

    assert (pull.state, pull.failure) == (S.FAILED, OFFLINE)


def test_who_came_first_is_served_first_and_no_more_than_may_run() -> None:
    late, early = a_pull(name="p4"), a_pull(name="p2")
    runs, paused = a_pull(S.FETCHING, name="p3"), a_pull(S.PAUSED, name="p1")

    assert decide_starts([late, early, runs, paused], POLICY, 0.0) == ["p2"]
    assert decide_starts([late, early, paused], POLICY, 0.0) == ["p2", "p4"]
    assert decide_starts([after(early, PAUSE, RESUME), late], POLICY, 0.0) == ["p4", "p2"]


def test_those_that_run_share_the_line_equally() -> None:
    two = [a_pull(S.FETCHING), a_pull(S.FETCHING), a_pull(S.PAUSED)]

    assert [share_of_pace(two[:n], 12.0) for n in range(4)] == [12.0, 12.0, 6.0, 6.0]
    assert share_of_pace(two, None) is None


@pytest.mark.parametrize(
    ("state", "paths", "repo", "is_same"),
    [
        (S.QUEUED, ("a", "b"), "o/r", True),
        (S.FAILED, ("a", "b"), "o/r", True),
        (S.PAUSED, ("a",), "o/r", True),
        (S.FETCHING, ("a", "c"), "o/r", False),
        (S.FETCHING, ("a", "b"), "o/other", False),
        (S.DONE, ("a", "b"), "o/r", False),
        (S.CANCELLED, ("a", "b"), "o/r", False),
    ],
)
def test_who_asks_for_files_that_are_on_their_way_joins(
    state: S, paths: tuple[str, ...], repo: str, *, is_same: bool
) -> None:
    known = a_pull(state, job=replace(a_job("a", "b"), ref="main"))
    moved_on = replace(a_job(*paths, repo=repo, commit="b" * 40), ref="main")
    wanted = msg.Wanted("m", None, "", moved_on)

    assert (find_same([known], wanted) is known) is is_same


def test_one_that_waits_takes_the_newest_plan_and_one_that_runs_keeps_its_own() -> None:
    newer = msg.Wanted("m", None, "", a_job(commit="b" * 40))
    less = msg.Wanted("m", None, "", a_job("a.gguf"))
    more = a_pull(S.PAUSED, job=a_job("a.gguf", "b.gguf"))

    assert after(a_pull(S.PAUSED), msg.Resume(2, newer)).wanted == newer
    assert after(a_pull(S.FETCHING), msg.Resume(2, newer)).wanted.job == a_job()
    assert after(more, msg.Resume(2, less)).wanted == more.wanted


def test_the_last_that_ended_stay_listed() -> None:
    running = a_pull(S.FETCHING, name="p1")
    ended = [
        after(a_pull(S.FETCHING, name=f"p{n}"), msg.Ended(1, done=True), now=float(n))
        for n in range(2, 2 + KEPT_FINISHED)
    ]
    last = after(running, msg.Ended(1, done=True), now=99.0)

    assert len(without_old({p.id: p for p in [running, *ended]})) == 1 + KEPT_FINISHED
    assert [*without_old({p.id: p for p in [last, *ended]})] == ["p1", *(p.id for p in ended[1:])]


def test_contents_are_needed_for_as_long_as_a_pull_of_them_has_not_ended() -> None:
    pulls = [
        a_pull(S.PAUSED, job=a_job("a")),
        a_pull(S.FAILED, job=a_job("b")),
        a_pull(S.CANCELLED, job=a_job("c")),
        a_pull(S.DONE, job=a_job("d")),
        a_pull(S.QUEUED, job=a_job("e", repo="o/other")),
    ]

    assert needed_etags(pulls, "o/r") == {"a" * 64, "b" * 64}


def test_speed_is_that_of_the_last_seconds_and_unknown_while_nothing_comes() -> None:
    speed = STILL
    for second in range(11):
        speed = speed.seen(100 if second > 5 else 1000, float(second))

    assert speed.bytes_per_s(10.0) == pytest.approx(100.0)
    assert len(speed.samples) <= 7
    assert speed.bytes_per_s(30.0) is None
    assert (STILL.bytes_per_s(1.0), Speed(((0.0, 5),)).bytes_per_s(1.0)) == (None, None)
    assert (left_s(40, 100, 20.0), left_s(40, 100, None)) == (3.0, None)


def test_one_that_reports_often_is_as_fast_as_one_that_does_not() -> None:
    speed = STILL
    for report in range(1001):
        speed = speed.seen(1, report / 100)

    assert speed.bytes_per_s(10.0) == pytest.approx(100.0, rel=0.02)
    assert len(speed.samples) < 40


def test_what_a_process_finds_did_not_come_while_it_ran() -> None:
    found = [msg.Progressed(1, at(0, FileState.WAITING)), msg.Progressed(1, at(50))]
    pull = after(a_pull(S.FETCHING), *found)
    assert (pull.here_bytes, pull.speed.came_bytes) == (50, 0)

    pull = after(pull, msg.Progressed(1, at(60)))

    assert (pull.here_bytes, pull.speed.came_bytes) == (60, 10)


def test_what_was_here_is_shown_until_the_next_process_has_looked() -> None:
    pull = after(a_pull(S.FETCHING), msg.Progressed(1, at(50)), PAUSE, KILLED, RESUME, BEGIN)
    assert pull.here_bytes == 50

    pull = after(pull, msg.Progressed(2, at(0, FileState.WAITING)))
    assert pull.here_bytes == 50

    pull = after(pull, msg.Progressed(2, at(40)))
    assert (pull.here_bytes, pull.speed.came_bytes) == (40, 0)


def test_a_view_says_how_far_how_fast_and_what_is_in_the_way() -> None:
    pull = a_pull(S.FETCHING)
    for second, here in enumerate((0, 20, 40)):
        pull = after(pull, msg.Progressed(1, at(here, note="slow")), now=float(second))

    view = render_pull(pull, 2.0)

    assert (view.id, view.model, view.repo, view.quant) == ("p1", "m", "o/r", "Q8_0")
    assert (view.state, view.size, view.here, view.note) == ("fetching", 100, 40, "slow")
    assert (view.speed, view.left, view.error) == (20.0, 3.0, None)
    assert [(f.path, f.here, f.state) for f in view.files] == [("a.gguf", 40, "fetching")]


def test_a_view_of_one_that_does_not_run_shows_no_file_as_being_fetched() -> None:
    pull = after(a_pull(S.FETCHING), msg.Progressed(1, at(40)), PAUSE)

    view = render_pull(pull, 0.0)

    assert (view.here, view.speed, view.left, view.note) == (40, None, None, "by the user")
    assert [f.state for f in view.files] == ["waiting"]


def test_a_view_of_what_is_done_or_failed_says_so() -> None:
    done = render_pull(after(a_pull(S.FETCHING), msg.Ended(1, done=True)), 0.0)
    failed = render_pull(after(a_pull(S.FETCHING), msg.Ended(1, failed=FULL)), 0.0)
    queued = render_pull(a_pull(), 0.0)

    assert (done.here, [(f.here, f.state) for f in done.files]) == (100, [(100, "done")])
    assert failed.error is not None
    assert failed.error.message == "Full.\n  why: it is so\n  fix: empty it"
    assert failed.error.code == "no_space"
    assert (queued.note, [f.state for f in queued.files]) == ("waits for its turn", ["waiting"])
