"""What of a plan takes how much memory."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from localllm.wording.takes import (
    Shares,
    Takes,
    beside_bytes,
    kept_bytes,
    shares_of,
    takes_of,
    used_bytes,
)
from tests.unit.cli.a_plan import GIB, MIB, a_candidate, a_memory, a_placement, unknown
from tests.unit.cli.test_render import CARD, CPU


def test_what_a_plan_takes_is_summed_over_its_accelerators_and_the_host_is_beside_them() -> None:
    second = replace(CARD, id="cuda:1")
    half = {"weights": 4096, "kv_cache": 1024, "recurrent_state": 512, "checkpoints": 512}
    placed = [
        a_placement("cuda:0", 16, **half, compute=256),
        a_placement("cuda:1", 17, **half, overhead=256),
        a_placement("cpu", 0, weights=512),
    ]
    one = a_candidate("Q4_K_M", placed)

    assert takes_of(one, [CARD, second, CPU]) == Takes(8 * GIB, 4 * GIB, 512 * MIB, 38 * GIB)
    assert (used_bytes(one), beside_bytes(one)) == (12 * GIB + 512 * MIB, 512 * MIB)


def test_on_the_processor_alone_the_host_is_what_it_takes_and_nothing_is_beside() -> None:
    one = a_candidate("Q4_K_M", [a_placement("cpu", 33, weights=8192)])

    assert takes_of(one, [CARD, CPU]) == Takes(8 * GIB, 0, 0, 57 * GIB)
    assert (used_bytes(one), beside_bytes(one)) == (8 * GIB, None)


def test_of_what_nobody_knows_nothing_is_told() -> None:
    one = unknown("Q4_K_M")

    assert (takes_of(one, [CARD]), used_bytes(one), beside_bytes(one)) == (None, None, None)


def test_a_cache_is_what_stands_for_it_and_what_it_held_before() -> None:
    assert kept_bytes(a_memory(kv_cache=3, recurrent_state=2, checkpoints=1, draft=9)) == 6 * MIB


@pytest.mark.parametrize(
    ("takes", "shares"),
    [
        (Takes(4, 2, 1, 10), Shares(4, 2, 1, free=3, blank=0, is_too_big=False)),
        (Takes(10, 0, 0, 10), Shares(10, 0, 0, free=0, blank=0, is_too_big=False)),
        (Takes(9, 2, 1, 10), Shares(9, 0, 0, free=0, blank=0, is_too_big=True)),
        (Takes(8, 2, 1, 10), Shares(8, 1, 0, free=0, blank=0, is_too_big=True)),
        (Takes(4, 2, 1, 0), Shares(0, 0, 0, free=0, blank=9, is_too_big=True)),
    ],
)
def test_a_bar_is_shared_out_to_its_last_column_the_mark_of_one_too_big_included(
    takes: Takes, shares: Shares
) -> None:
    assert shares_of(takes, 10) == shares


@pytest.mark.parametrize("width", [1, 7, 24])
@pytest.mark.parametrize("usable", [0, 1, 100, 150, 1000])
def test_no_bar_is_wider_or_narrower_than_it_was_asked_for(width: int, usable: int) -> None:
    one = shares_of(Takes(77, 31, 13, usable), width)

    columns = one.weights + one.cache + one.other + one.free + one.blank + one.is_too_big
    assert columns == width
