"""Who is unloaded though nobody needs the memory, case by case."""

from __future__ import annotations

import math

import pytest

from localllm.events import InstanceId
from localllm.supervisor.keeping import Relief, Stay, Unload, decide_unloads
from localllm.units import GIB, MIB

A, B, C = InstanceId("a"), InstanceId("b"), InstanceId("c")
WHY = "400 MiB of 16.0 GiB is left"
NOW = 1000.0


def stay(
    one: InstanceId,
    *,
    used_at: float = 0.0,
    keep_s: float = math.inf,
    pinned: bool = False,
    host_bytes: int = GIB,
) -> Stay:
    return Stay(one, used_at, keep_s, pinned, host_bytes)


def unloaded(*stays: Stay, relief: Relief = Relief.NONE) -> list[InstanceId]:
    return [unload.id for unload in decide_unloads(stays, relief, WHY, NOW)]


def test_an_instance_stays_for_as_long_as_it_is_to_be_kept_and_no_longer() -> None:
    assert unloaded(stay(A, used_at=NOW - 899, keep_s=900)) == []
    assert decide_unloads([stay(A, used_at=NOW - 900, keep_s=900)], Relief.NONE, None, NOW) == [
        Unload(A, "nobody has used it for 15 min")
    ]


def test_what_is_kept_for_ever_or_pinned_stays_however_long_nobody_uses_it() -> None:
    assert unloaded(stay(A), stay(B, keep_s=1, pinned=True)) == []


def test_when_memory_gets_short_the_least_recently_used_goes() -> None:
    stays = [stay(A, used_at=2.0), stay(B, used_at=1.0), stay(C, used_at=3.0)]

    assert decide_unloads(stays, Relief.ONE, WHY, NOW) == [Unload(B, f"it is idle, and {WHY}")]


def test_when_memory_is_about_to_run_out_all_that_are_idle_go() -> None:
    stays = [stay(A, used_at=2.0), stay(B, used_at=1.0), stay(C, pinned=True)]

    assert unloaded(*stays, relief=Relief.ALL) == [B, A]


@pytest.mark.parametrize("relief", [Relief.ONE, Relief.ALL])
def test_what_holds_none_of_the_hosts_memory_is_not_unloaded_for_it(relief: Relief) -> None:
    assert unloaded(stay(A, host_bytes=10 * MIB), relief=relief) == []


def test_whose_time_is_over_counts_once() -> None:
    assert unloaded(stay(A, used_at=0, keep_s=1), relief=Relief.ALL) == [A]
