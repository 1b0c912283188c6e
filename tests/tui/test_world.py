"""What the screen remembers between looks."""

from __future__ import annotations

import math

import msgspec
import pytest

from localllm.tui.world import KEPT, World, by_columns, lost, seen
from tests.fakes import scenes

NOW = scenes.rtx5090().now(50)
INSTANCE = NOW.models[0].view.instance


def look(world: World, at: float, generated: int) -> World:
    model = msgspec.structs.replace(NOW.models[0], generated=generated)
    return seen(world, msgspec.structs.replace(NOW, at=at, models=[model]))


def test_what_grows_between_two_looks_is_the_speed() -> None:
    world = look(look(look(World(), 10.0, 100), 10.5, 130), 11.5, 150)

    assert world.histories[INSTANCE].tps == (60.0, 20.0)
    assert world.histories[INSTANCE].first_token_s == (0.42, 0.42)


def test_a_daemon_that_was_started_anew_begins_a_new_history() -> None:
    world = look(look(World(), 10.0, 100), 10.5, 130)

    world = look(world, 11.0, 3)

    assert world.histories[INSTANCE].tps == ()


def test_a_history_is_bounded_and_gone_with_its_model() -> None:
    world = World()
    for i in range(KEPT + 10):
        world = look(world, i / 2, i)
    assert len(world.histories[INSTANCE].tps) == KEPT

    world = seen(world, msgspec.structs.replace(NOW, models=[]))

    assert world.histories == {}


def test_a_lost_daemon_is_lost_since_the_first_look_without_answer() -> None:
    world = lost(lost(look(World(), 10.0, 100), "gone", 20.0), "still gone", 30.0)

    assert (world.lost_since, world.why_lost) == (20.0, "still gone")
    assert world.now is not None
    assert not world.is_connected

    assert look(world, 40.0, 100).is_connected


def test_one_that_is_there_and_says_nothing_is_not_missing() -> None:
    silent = lost(World(), "it says nothing", 20.0, is_there=True)
    assert not silent.is_without

    assert lost(silent, "gone", 30.0).is_without


@pytest.mark.parametrize("columns", [1, 5, 15, 30, KEPT, KEPT + 7])
def test_a_minute_has_room_in_any_number_of_columns_and_full_ones_stay(columns: int) -> None:
    every = [float(n) for n in range(3 * KEPT)]
    of_each = math.ceil(KEPT / columns)
    full = {sum(every[at : at + of_each]) / of_each for at in range(0, len(every), of_each)}

    for looks in range(1, len(every) + 1):
        drawn = by_columns(every[max(0, looks - KEPT) : looks], columns, looks)

        assert len(drawn) <= columns + 1  # the first one goes while the last one comes
        assert full >= set(drawn[1:-1])


def test_columns_are_averages() -> None:
    assert by_columns((), 5, 0) == []
    assert by_columns((1.0, 3.0), 0, 2) == []
    assert by_columns([4.0] * KEPT, 5, KEPT) == [4.0] * 5
    assert by_columns((1.0, 3.0, 5.0), KEPT // 2, 3) == [2.0, 5.0]
