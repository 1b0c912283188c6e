"""Who goes to the engine next, by the case; test_admission_properties.py lets clients come and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from localllm.supervisor.admission import Admit, Ask, Decision, Hold, Room, Running, admit_next

ROOM = Room(slots=4, context=32768, share=0.85, long_tokens=8192, patience_s=30.0)
NOW = 100.0
SHORT, LONG = 500, 20000


def ask(number: int, client: str, tokens: int = SHORT, waited_s: float = 1.0) -> Ask:
    return Ask(number, client, tokens, NOW - waited_s)


def decided(
    waiting: Sequence[Ask],
    running: Sequence[Running] = (),
    served: Mapping[str, int] | None = None,
    room: Room = ROOM,
) -> Decision:
    return admit_next(waiting, running, room, served or {}, NOW)


def test_nobody_waits() -> None:
    assert decided([]) == Hold("no request waits")


@pytest.mark.parametrize(
    ("slots", "why"), [(1, "the only slot is busy"), (2, "all 2 slots are busy")]
)
def test_nobody_is_admitted_while_all_slots_are_busy(slots: int, why: str) -> None:
    room = Room(slots, 32768, 0.85, 8192, 30.0)

    assert decided([ask(9, "a")], [Running("b", SHORT)] * slots, room=room) == Hold(why)


def test_requests_of_one_client_go_in_order_of_arrival_however_they_are_listed() -> None:
    assert decided([ask(3, "a"), ask(1, "a"), ask(2, "a")]) == Admit(1)


def test_the_client_with_the_fewest_running_goes_first() -> None:
    waiting = [ask(5, "busy"), ask(6, "idle")]

    assert decided(waiting, [Running("busy", SHORT)]) == Admit(6)


def test_of_two_that_have_as_many_running_the_one_served_longest_ago_goes_first() -> None:
    waiting = [ask(2, "a"), ask(3, "b"), ask(4, "c")]

    assert decided(waiting, served={"a": 12, "b": 10, "c": 11}) == Admit(3)


def test_a_client_never_seen_before_waits_for_a_turn_that_is_older_than_its_arrival() -> None:
    waiting = [ask(4, "seen"), ask(20, "new")]

    assert decided(waiting, served={"seen": 12}) == Admit(4)
    assert decided(waiting, served={"seen": 21}) == Admit(20), "but for no later one"


def test_a_client_that_queued_many_has_one_turn_a_round() -> None:
    waiting = [*(ask(n, "many") for n in range(1, 5)), ask(5, "one"), ask(6, "other")]
    served: dict[str, int] = {}
    order = []

    for turn in range(7, 13):
        admitted = decided(waiting, served=served)
        assert isinstance(admitted, Admit)
        (gone,) = (one for one in waiting if one.number == admitted.number)
        waiting.remove(gone)
        served[gone.client] = turn
        order.append(gone.number)

    assert order == [1, 5, 6, 2, 3, 4]


@pytest.mark.parametrize(
    ("tokens", "used", "goes"),
    [
        (20000, 7852, True),  # 27852 tokens are the share
        (20000, 7853, False),
        (8191, 24577, True),  # short: up to the 32768 that there are
        (8191, 24578, False),  # an engine without room fails all that run
        (8192, 24577, False),
    ],
)
def test_a_prompt_is_held_while_it_would_fill_more_than_its_kind_may(
    tokens: int, used: int, *, goes: bool
) -> None:
    assert isinstance(decided([ask(1, "a", tokens)], [Running("b", used)]), Admit) is goes


def test_why_it_is_held_is_told_in_numbers() -> None:
    held = decided([ask(1, "a", LONG)], [Running("b", 20000), Running("b", 9818)])

    why = "the cache is 91 % full: a prompt of about 20000 tokens waits for 21966 to be freed"
    assert held == Hold(why)


def test_a_prompt_longer_than_the_share_waits_until_it_is_alone() -> None:
    huge = ask(1, "a", 32000)

    assert decided([huge], [Running("b", 300)]) == Hold(
        "the cache is 1 % full: a prompt of about 32000 tokens waits for 300 to be freed"
    )
    assert decided([huge]) == Admit(1)


def test_alone_even_a_prompt_longer_than_the_context_goes_for_the_engine_to_refuse() -> None:
    assert decided([ask(1, "a", 99999)]) == Admit(1)


@pytest.mark.parametrize("later", [ask(2, "b"), ask(2, "b", 9000), ask(2, "a")])
def test_a_held_prompt_is_passed_by_what_others_ask_and_by_its_own_clients_short_ones(
    later: Ask,
) -> None:
    assert decided([ask(1, "a", LONG), later], [Running("c", 10000)]) == Admit(2)


def test_a_held_prompt_is_not_passed_by_another_long_one_of_its_client() -> None:
    waiting = [ask(1, "a", LONG), ask(2, "a", 9000)]

    assert isinstance(decided(waiting, [Running("c", 10000)]), Hold)


def test_a_long_prompt_that_has_room_keeps_its_place() -> None:
    assert decided([ask(1, "a", LONG), ask(2, "a"), ask(3, "b")]) == Admit(1)


@pytest.mark.parametrize("later", [ask(2, "b"), ask(2, "b", 9000), ask(2, "a")])
def test_a_prompt_that_was_held_too_long_holds_back_all_that_came_later(later: Ask) -> None:
    overdue = ask(1, "a", LONG, waited_s=30.0)

    assert decided([overdue, later], [Running("c", 10000)]) == Hold(
        "the cache is 31 % full: a prompt of about 20000 tokens waits for 2148 to be freed"
    )
    assert decided([overdue, later], [Running("c", 1000)]) == Admit(1)


def test_it_does_so_even_where_its_client_has_more_running() -> None:
    waiting = [ask(1, "a", LONG, waited_s=31.0), ask(2, "b")]

    assert isinstance(decided(waiting, [Running("a", 10000)]), Hold)


def test_who_came_before_it_is_not_held_back() -> None:
    waiting = [ask(1, "b"), ask(2, "a", LONG, waited_s=31.0), ask(3, "c")]

    assert decided(waiting, [Running("c", 10000)]) == Admit(1)


def test_one_of_many_that_a_client_queued_holds_back_only_those_after_its_last_turn() -> None:
    waiting = [ask(2, "many", LONG, waited_s=99.0), ask(8, "before"), ask(11, "after")]
    running = [Running("many", 10000)]

    assert decided(waiting, running, served={"many": 10}) == Admit(8)
    assert isinstance(decided([waiting[0], waiting[2]], running, served={"many": 10}), Hold)
