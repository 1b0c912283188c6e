"""Who takes over from whom, step by step."""

from __future__ import annotations

from localllm.events import InstanceId
from localllm.supervisor.succession import Successions

NEW, OLD, OTHER = InstanceId("new"), InstanceId("old"), InstanceId("other")


def begun(*old: InstanceId) -> Successions:
    successions = Successions()
    successions.begin(NEW, old)
    return successions


def test_one_that_takes_over_from_nobody_has_no_gap() -> None:
    assert begun().succeeded(NEW, now=9.0) is None


def test_without_making_room_there_is_no_gap() -> None:
    successions = begun(OLD)

    assert (successions.successor_of(OLD), successions.old_of(NEW)) == (NEW, {OLD})
    assert successions.succeeded(NEW, now=9.0) == 0.0
    assert successions.successor_of(OLD) is None, "it is over"


def test_the_gap_begins_when_the_old_one_makes_room() -> None:
    successions = begun(OLD, OTHER)
    successions.made_room(NEW, OLD, now=2.0)
    successions.made_room(NEW, OTHER, now=5.0)

    assert successions.succeeded(NEW, now=9.0) == 7.0


def test_who_made_room_serves_again_if_the_new_one_fails() -> None:
    successions = begun(OLD, OTHER)
    successions.made_room(NEW, OLD, now=2.0)

    assert successions.failed(NEW) == {OLD}
    assert successions.failed(NEW) == set(), "once"


def test_room_that_is_made_for_somebody_else_is_no_gap() -> None:
    successions = begun(OLD)
    successions.made_room(OTHER, OLD, now=2.0)
    successions.made_room(NEW, OTHER, now=2.0)

    assert successions.succeeded(NEW, now=9.0) == 0.0


def test_one_that_is_gone_neither_takes_over_nor_comes_back() -> None:
    successions = begun(OLD, OTHER)
    successions.made_room(NEW, OLD, now=2.0)
    successions.forget(OLD)
    assert successions.failed(NEW) == set()

    successions = begun(OLD)
    successions.forget(OLD)
    assert successions.succeeded(NEW, now=9.0) is None

    successions = begun(OLD)
    successions.forget(NEW)
    assert successions.successor_of(OLD) is None


def test_a_switch_that_is_asked_for_again_in_the_middle_of_it_keeps_its_gap() -> None:
    successions = begun(OLD)
    successions.made_room(NEW, OLD, now=2.0)
    successions.begin(NEW, [OLD])

    assert successions.succeeded(NEW, now=9.0) == 7.0


def test_a_switch_that_is_asked_for_again_and_fails_brings_the_old_one_back() -> None:
    successions = begun(OLD)
    successions.made_room(NEW, OLD, now=2.0)
    successions.begin(NEW, [OLD])

    assert successions.failed(NEW) == {OLD}
