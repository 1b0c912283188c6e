"""Which saved prompt is put back, and which ones make room."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.entries import (
    Entry,
    choose_entry,
    choose_to_warm,
    choose_victims,
    superseded,
)
from tests.unit.prefix.a_prompt import an_entry, blocks, outline, text_of

LONG = "abcdefghijklmnopqrstuvwx"  # 24 blocks are about 770 tokens
DAY_S = 86_400.0


def a_text(name: str, letters: str = "a", **changes: Any) -> Entry:
    return an_entry(name, letters, path="/v1/chat/completions", **changes)


def ids(entries: list[Entry]) -> list[str]:
    return [one.id for one in entries]


def test_the_one_that_has_most_of_a_prompt_is_put_back() -> None:
    short, longer = an_entry("1", LONG[:18]), an_entry("2", LONG)
    other = an_entry("3", LONG[:17] + "zzzzzzzzzzzz")

    assert choose_entry([short, longer, other], "model", blocks(LONG + "yz")) == longer


def test_another_models_memory_is_never_put_back() -> None:
    assert choose_entry([an_entry(letters=LONG, key="other")], "model", blocks(LONG)) is None


@pytest.mark.parametrize(("common", "found"), [(0, False), (15, False), (16, True)])
def test_what_is_read_in_no_time_is_not_put_back(common: int, found: bool) -> None:
    entry = an_entry(letters=LONG)

    best = choose_entry([entry], "model", blocks(LONG[:common] + "123"))

    assert (best is not None) is found


def test_of_several_that_have_as_much_the_smallest_is_put_back_and_then_the_latest() -> None:
    large = an_entry("1", LONG + "123", size_bytes=300)
    small = an_entry("2", LONG + "45", size_bytes=200)
    later = an_entry("3", LONG + "67", size_bytes=200, used_at=1.0)
    wanted = blocks(LONG + "9")

    assert choose_entry([large, small], "model", wanted) == small
    assert choose_entry([large, later, small], "model", wanted) == later


def test_a_requests_text_is_never_put_back_into_a_slot() -> None:
    text, slot = a_text("1", LONG), an_entry("2", LONG[:18])

    assert choose_entry([text], "model", blocks(LONG)) is None
    assert choose_entry([text, slot], "model", blocks(LONG)) == slot


def test_without_any_nothing_is_put_back() -> None:
    assert choose_entry([], "model", blocks(LONG)) is None


def test_nothing_goes_while_all_fit() -> None:
    assert choose_victims([an_entry("1"), an_entry("2")], 200, now=0.0) == []


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"tokens": 500}, {"tokens": 1000}),
        ({"size_bytes": 200, "tokens": 1500}, {"size_bytes": 100}),
        ({"uses": 0}, {"uses": 1}),
        ({"used_at": 0.0}, {"used_at": 9.0}),
        ({"used_at": 9 * DAY_S, "uses": 0}, {"used_at": 7 * DAY_S, "uses": 9}),
        ({"used_at": 0.0, "uses": 9}, {"used_at": 9 * DAY_S, "uses": 0}),
    ],
)
def test_what_saves_fewer_tokens_for_each_byte_less_often_or_longer_ago_goes_first(
    less: dict[str, Any], more: dict[str, Any]
) -> None:
    worse, better = an_entry("1", **less), an_entry("2", **more)

    for entries in ([worse, better], [better, worse]):
        assert choose_victims(entries, better.size_bytes, now=10 * DAY_S) == [worse]


def test_a_clock_that_was_set_back_or_stood_for_years_does_no_harm() -> None:
    entries = [an_entry("1", used_at=1e12), an_entry("2", used_at=-1e12)]

    assert choose_victims(entries, 100, now=0.0) == [entries[1]]


@given(
    some=st.lists(
        st.tuples(st.integers(1, 1000), st.integers(1, 9000), st.integers(0, 9)), max_size=12
    ),
    budget=st.integers(-10, 5000),
)
def test_what_stays_fits_and_no_more_goes_than_has_to(
    some: list[tuple[int, int, int]], budget: int
) -> None:
    entries = [
        an_entry(str(i), size_bytes=size, tokens=tokens, uses=uses)
        for i, (size, tokens, uses) in enumerate(some)
    ]

    victims = choose_victims(entries, budget, now=0.0)

    left = sum(one.size_bytes for one in entries if one not in victims)
    assert left <= max(budget, 0)
    assert not victims or left + victims[-1].size_bytes > budget
    assert len(set(ids(list(victims)))) == len(victims)


def test_a_longer_one_stands_for_those_that_it_begins_with() -> None:
    new = an_entry("9", "abcd")
    entries = [
        an_entry("1", "ab"),
        an_entry("2", "abcd"),
        an_entry("3", "abcde"),
        an_entry("4", "abx"),
        an_entry("5", "ab", key="other"),
        new,
    ]

    assert ids(list(superseded(entries, new))) == ["1", "2"]


@given(common=st.integers(0, 3000), tail=st.integers(0, 1000))
def test_what_is_read_again_for_one_that_was_superseded_is_less_than_64_tokens(
    common: int, tail: int
) -> None:
    begin = text_of("you are an agent", 1000)[:common]
    old = an_entry("1", outline=outline(begin, b"x" * tail))
    new = an_entry("2", outline=outline(begin, b"y" * 5000))

    if superseded([old], new):
        assert tail < 64 * 4


@given(one=st.text("ab", max_size=9), other=st.text("ab", max_size=9))
def test_superseded_is_exactly_what_is_a_beginning(one: str, other: str) -> None:
    old, new = an_entry("1", one), an_entry("2", other)

    assert bool(superseded([old], new)) == other.startswith(one)


def test_a_slot_and_a_text_of_the_same_prompt_do_not_stand_for_each_other() -> None:
    slot, text = an_entry("1", "ab"), a_text("2", "ab")

    assert ids(list(superseded([slot, text], an_entry("9", "abc")))) == ["1"]
    assert ids(list(superseded([slot, text], a_text("9", "abc")))) == ["2"]


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ({"tokens": 1000}, {"tokens": 2000}),
        ({"tokens": 1500, "uses": 0}, {"tokens": 1000, "uses": 1}),
        ({"used_at": 0.0}, {"used_at": DAY_S}),
        ({"used_at": 0.0, "uses": 1}, {"used_at": 2 * DAY_S, "uses": 0}),
        ({"size_bytes": 1, "tokens": 1000}, {"size_bytes": 1_000_000, "tokens": 1001}),
    ],
)
def test_what_saves_most_is_made_ready_first_whatever_its_size(
    less: dict[str, Any], more: dict[str, Any]
) -> None:
    worse, better = an_entry("1", **less), an_entry("2", **more)

    for entries in ([worse, better], [better, worse]):
        assert choose_to_warm(entries, "model", now=2 * DAY_S) == [better, worse]


def test_what_nobody_has_used_for_a_week_is_not_made_ready() -> None:
    entries = [an_entry("1", used_at=0.0), an_entry("2", used_at=1.0)]

    assert ids(list(choose_to_warm(entries, "model", now=7 * DAY_S))) == ["2"]


def test_another_models_memory_is_not_made_ready() -> None:
    assert choose_to_warm([an_entry(key="other"), a_text("1", key="other")], "model", 0.0) == []


def test_of_texts_two_are_read_and_of_slots_all_are_put_back() -> None:
    texts = [a_text(f"t{tokens}", tokens=tokens) for tokens in (1, 3, 5, 7)]
    slots = [an_entry(f"s{tokens}", tokens=tokens) for tokens in (2, 4, 6, 8)]

    chosen = choose_to_warm([*texts, *slots], "model", now=0.0)

    assert ids(list(chosen)) == ["s8", "t7", "s6", "t5", "s4", "s2"]


def test_a_file_is_named_for_what_is_in_it() -> None:
    assert (an_entry("1").file, a_text("1").file) == ("1.kv", "1.request")
