"""Which slot a request goes to: where least is read again by anybody."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.holding import (
    WORTH_TOKENS,
    Holding,
    choose_slot,
    find_shared,
)
from localllm.prefix.outline import BLOCK_BYTES, BYTES_PER_TOKEN, Outline
from tests.unit.prefix.a_prompt import a_holding, blocks, outline, text_of

SYSTEM, OTHER = text_of("you are an agent", 6000), text_of("you are another", 6000)
TALK, OTHER_TALK = text_of("mend this", 4000), text_of("write that", 4000)
TITLE = text_of("a title, please", 30)
SOON_AFTER_S, LONG_AFTER_S = 1.0, 36_000.0


def test_a_conversation_goes_where_it_was() -> None:
    holdings = [a_holding(0, OTHER + TALK), a_holding(1, SYSTEM + TALK), a_holding(2)]

    place = choose_slot(holdings, outline(SYSTEM + TALK + TITLE))

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, None)
    assert 9900 <= place.common_tokens <= 10_000


def test_of_several_that_hold_the_beginning_the_one_that_holds_most_is_taken() -> None:
    holdings = [a_holding(0, SYSTEM), a_holding(1, SYSTEM + TALK)]

    place = choose_slot(holdings, outline(SYSTEM + TALK + TITLE))

    assert place is not None
    assert place.slot == 1


def test_a_title_that_begins_otherwise_goes_to_the_slot_that_holds_nothing() -> None:
    holdings = [a_holding(0, SYSTEM + TALK, used_at=1.0), a_holding(1)]

    place = choose_slot(holdings, outline(TITLE))

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, None)


def test_a_title_that_begins_as_the_conversation_does_goes_elsewhere() -> None:
    talk = text_of("a long talk", 12_000)
    holdings = [a_holding(0, SYSTEM + talk), a_holding(1, TITLE)]

    place = choose_slot(holdings, outline(SYSTEM + TITLE))

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, None)


def test_what_both_begin_with_is_not_read_again_to_spare_a_little_that_is_said_to_be_lost() -> None:
    talk = text_of("a short talk", 1000)
    holdings = [a_holding(0, SYSTEM + talk), a_holding(1)]

    place = choose_slot(holdings, outline(SYSTEM + TITLE))

    assert place is not None
    assert (place.slot, place.pushes_out) == (0, holdings[0])


def test_with_the_beginning_on_disk_nothing_is_lost_to_it_at_all() -> None:
    talk = text_of("a short talk", 1000)
    holdings = [a_holding(0, SYSTEM + talk), a_holding(1)]

    place = choose_slot(holdings, outline(SYSTEM + TITLE), on_disk_bytes=len(SYSTEM))

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, None)


def test_what_is_on_disk_does_not_lure_a_conversation_from_its_slot() -> None:
    holdings = [a_holding(0), a_holding(1, SYSTEM + TALK)]

    place = choose_slot(holdings, outline(SYSTEM + TALK + TITLE), on_disk_bytes=len(SYSTEM + TALK))

    assert place is not None
    assert place.slot == 1


def test_two_agents_with_one_beginning_do_not_take_turns_on_one_slot() -> None:
    one, other = SYSTEM + TALK, SYSTEM + OTHER_TALK
    holdings = [a_holding(0, one), a_holding(1, other)]

    places = [choose_slot(holdings, outline(text + TITLE)) for text in (one, other)]

    assert [(place.slot, place.pushes_out) for place in places if place] == [(0, None), (1, None)]


def test_a_busy_slot_is_never_taken() -> None:
    busy = a_holding(0, SYSTEM + TALK, is_busy=True)

    place = choose_slot([busy, a_holding(1, OTHER)], outline(SYSTEM + TALK + TITLE))

    assert place is not None
    assert place.slot == 1
    assert choose_slot([busy], outline(TITLE)) is None
    assert choose_slot([], outline(TITLE)) is None


def test_where_all_hold_something_the_smallest_loss_is_taken() -> None:
    holdings = [a_holding(0, SYSTEM + TALK), a_holding(1, OTHER), a_holding(2, SYSTEM + OTHER_TALK)]

    place = choose_slot(holdings, outline(TITLE))

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, holdings[1])


def test_what_nobody_has_come_back_to_for_long_does_not_hold_its_slot_for_ever() -> None:
    holdings = [a_holding(0, SYSTEM + TALK), a_holding(1, TALK, used_at=LONG_AFTER_S)]

    place = choose_slot(holdings, outline(OTHER))

    assert place is not None
    assert (place.slot, place.pushes_out) == (0, holdings[0])


def test_of_two_alike_the_one_that_is_on_disk_goes_and_then_the_one_unused_for_longer() -> None:
    first = a_holding(0, SYSTEM)
    second = a_holding(1, OTHER, is_saved=True)
    empty = [a_holding(0, used_at=SOON_AFTER_S), a_holding(1)]

    saved, older = choose_slot([first, second], outline(TALK)), choose_slot(empty, outline(TALK))

    assert saved is not None
    assert older is not None
    assert (saved.slot, older.slot) == (1, 1)


def test_a_conversation_that_was_summed_up_takes_its_own_place_before_others() -> None:
    past = replace(a_holding(0, SYSTEM + TALK, is_saved=True), conversation="a")
    other = replace(a_holding(1, OTHER[:3200], is_saved=True), conversation="b")
    wanted = outline(SYSTEM + TITLE)

    ours, unnamed = (choose_slot([past, other], wanted, conversation=c) for c in ("a", None))

    assert ours is not None
    assert ours.slot == 0
    assert unnamed is not None
    assert unnamed.slot == 1


def test_what_begins_as_another_does_and_goes_on_otherwise_shares_with_it() -> None:
    first, second = a_holding(0, SYSTEM + TALK), a_holding(1, OTHER)

    assert find_shared([first, second], outline(SYSTEM + OTHER_TALK)) == first


def test_a_conversation_that_goes_on_shares_with_nobody() -> None:
    assert find_shared([a_holding(0, SYSTEM + TALK)], outline(SYSTEM + TALK + TITLE)) is None


def test_what_is_on_disk_or_at_work_or_short_is_not_shared() -> None:
    wanted = outline(SYSTEM + OTHER_TALK)
    saved, busy = a_holding(0, SYSTEM + TALK, is_saved=True), a_holding(1, SYSTEM, is_busy=True)
    short = a_holding(2, SYSTEM[: WORTH_TOKENS * BYTES_PER_TOKEN - BLOCK_BYTES] + TALK)

    assert find_shared([saved, busy, short], wanted) is None


def test_a_title_for_the_same_conversation_leaves_it_its_place() -> None:
    past = replace(a_holding(0, SYSTEM + TALK), conversation="a")

    place = choose_slot([past, a_holding(1)], outline(TITLE), conversation="a")

    assert place is not None
    assert (place.slot, place.pushes_out) == (1, None)


LETTERS = st.text("ab", max_size=40)


@st.composite
def some_holdings(draw: st.DrawFn) -> list[Holding]:
    """All used at the same time, each of a few letters that begin alike often."""
    several = draw(
        st.lists(st.tuples(LETTERS, st.booleans(), st.booleans()), min_size=1, max_size=5)
    )
    return [_of_letters(slot, *one) for slot, one in enumerate(several)]


def _of_letters(slot: int, letters: str, busy: bool, saved: bool) -> Holding:
    tokens = len(letters) * BLOCK_BYTES // BYTES_PER_TOKEN
    said = blocks(letters) if letters else None
    return Holding(slot, said, tokens=tokens, is_busy=busy, is_saved=saved)


def lost_bytes(one: Holding, wanted: Outline) -> int:
    """Of what is worth keeping, as the texts have it."""
    if one.outline is None or not one.is_worth_keeping:
        return 0
    return one.outline.size_bytes - one.outline.common_bytes(wanted)


def read_bytes(one: Holding, wanted: Outline) -> int:
    return wanted.size_bytes - (one.outline.common_bytes(wanted) if one.outline else 0)


@given(holdings=some_holdings(), letters=LETTERS)
def test_what_is_worth_keeping_is_never_pushed_out_where_another_free_one_costs_less(
    holdings: list[Holding], letters: str
) -> None:
    wanted = blocks(letters)

    place = choose_slot(holdings, wanted)

    free = [one for one in holdings if not one.is_busy]
    if place is None:
        assert not free
        return
    chosen = holdings[place.slot]
    cost = read_bytes(chosen, wanted) + 2 * lost_bytes(chosen, wanted)
    assert not chosen.is_busy
    assert all(read_bytes(o, wanted) + 2 * lost_bytes(o, wanted) >= cost for o in free)
    assert place.pushes_out == (chosen if lost_bytes(chosen, wanted) else None)


@given(holdings=some_holdings(), talk=st.integers(WORTH_TOKENS, 4000), begins=st.integers(0, 99))
def test_a_small_request_never_costs_a_conversation_more_than_it_saves_itself(
    holdings: list[Holding], talk: int, begins: int
) -> None:
    text = text_of("a conversation", talk)
    shared = len(text) * begins // 100
    conversation = a_holding(len(holdings), text)
    empty = Holding(len(holdings) + 1)

    place = choose_slot([*holdings, conversation, empty], outline(text[:shared] + TITLE))

    assert place is not None
    if place.slot == conversation.slot:
        lost = lost_bytes(conversation, outline(text[:shared] + TITLE))
        assert 2 * lost <= shared + BLOCK_BYTES
        assert place.pushes_out in {None, conversation}
        assert (place.pushes_out is None) == (lost < BLOCK_BYTES)


@given(holdings=some_holdings(), letters=st.text("ab", min_size=16, max_size=40))
def test_a_conversation_that_goes_on_pushes_nothing_out(
    holdings: list[Holding], letters: str
) -> None:
    mine = replace(_of_letters(len(holdings), letters, False, False))

    place = choose_slot([*holdings, mine], blocks(letters + "ab"))

    assert place is not None
    assert place.pushes_out is None
    assert place.common_tokens * BYTES_PER_TOKEN >= mine.outline.size_bytes  # type: ignore[union-attr]
