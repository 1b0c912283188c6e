"""Who leaves a cache that all slots share."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.crowding import cells_needed, choose_leaving, find_emptied, is_crowded
from localllm.prefix.holding import Holding
from localllm.prefix.outline import BYTES_PER_TOKEN
from tests.unit.prefix.a_prompt import a_holding, an_entry, blocks, outline, text_of

LONG = text_of("you are an agent", 3000)
ANSWER = 1024


def held(slot: int, tokens: int, used_at: float = 0.0, *, is_busy: bool = False) -> Holding:
    text = text_of(f"agent {slot}", tokens) if tokens else b""
    return replace(a_holding(slot, text), tokens=tokens, used_at=used_at, is_busy=is_busy)


def slots_of(holdings: list[Holding], needed: int, cells: int, slot: int = 0) -> list[int]:
    return [one.slot for one in choose_leaving(holdings, slot, needed, cells)]


def test_a_prompt_needs_at_least_what_it_and_an_answer_take() -> None:
    assert cells_needed(outline(LONG)) >= 3000 + ANSWER


def test_what_is_put_back_takes_all_of_its_place_though_a_part_of_it_is_wanted() -> None:
    entry = an_entry(letters="abcdefgh" * 10, tokens=20_000)

    assert cells_needed(blocks("abcdefgh"), entry) >= 20_000 + ANSWER


def test_nobody_leaves_while_there_is_room() -> None:
    holdings = [held(0, 0), held(1, 1000), held(2, 1000)]

    assert not is_crowded(holdings, 2000, 4000)
    assert slots_of(holdings, 2000, 4000) == []


def test_the_one_that_was_unused_for_longest_leaves_first_and_no_more_than_has_to() -> None:
    holdings = [held(0, 500), held(1, 1000, 9.0), held(2, 1000, 3.0), held(3, 1000, 5.0)]

    assert is_crowded(holdings, 2000, 4000)
    assert slots_of(holdings, 2000, 4000) == [2]
    assert slots_of(holdings, 2500, 4000) == [2, 3]


def test_who_is_at_work_stays_and_so_does_what_the_slot_itself_holds() -> None:
    holdings = [held(0, 3000), held(1, 3000, is_busy=True), held(2, 0)]

    assert slots_of(holdings, 3500, 4000) == []


def test_what_broke_off_takes_room_as_well() -> None:
    broken = a_holding(1, LONG, tokens=0)

    assert slots_of([held(0, 0), broken], 2000, 4000) == [1]


def test_a_slot_that_holds_less_than_it_did_was_emptied_unless_it_is_at_work() -> None:
    holdings = [held(0, 1000), held(1, 1000), held(2, 1000, is_busy=True), held(3, 1000)]

    assert find_emptied(holdings, {0: 999, 1: 40}) == [1, 3]


def test_an_empty_slot_was_not_emptied() -> None:
    assert find_emptied([Holding(0), a_holding(1, LONG, tokens=0)], {}) == []


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 8000),
)
def test_who_stays_leaves_room_or_nobody_idle_is_left(
    several: list[tuple[int, bool]], needed: int
) -> None:
    holdings = [held(n, tokens, n, is_busy=busy) for n, (tokens, busy) in enumerate(several)]

    leaving = choose_leaving(holdings, 0, needed, 8000)

    stays = [one for one in holdings[1:] if one not in leaving]
    taken = sum(one.tokens or _of_text(one) for one in stays)
    assert taken + needed <= 8000 or all(one.is_busy for one in stays if one.tokens)


def _of_text(one: Holding) -> int:
    return 0 if one.outline is None else one.outline.size_bytes // BYTES_PER_TOKEN
