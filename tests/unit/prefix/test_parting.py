"""Where prompts part that are the same but for a little; and what is no such thing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.differing import Kind
from localllm.prefix.parting import (
    LEAST_SAME_BYTES,
    Parting,
    common_bytes,
    estimated,
    find_break,
    measured,
)
from tests.unit.prefix.an_agents_prompt import HI, MORE, RULES, TOOLS, Said, parts, system

BEFORE = parts(system("2026-11-29"), HI)
MOVED = (*TOOLS[:2], *reversed(TOOLS[2:]))
A_PARTING = Parting("message 1 (system)", 4_000, Kind.DATE, "a", "b", 8_000)


def test_a_changed_date_in_the_system_prompt_is_found_with_what_it_costs() -> None:
    now = parts(system("2026-11-30"), *MORE)

    parting = find_break(BEFORE, now)

    assert parting is not None
    assert (parting.part, parting.kind) == ("message 1 (system)", Kind.DATE)
    assert "2026-11-29" in parting.before
    assert "2026-11-30" in parting.now
    whole = b"".join(now)
    assert whole[parting.offset_bytes :].startswith(b"30.")
    assert len(RULES) < parting.same_bytes < len(RULES) + 200


def test_a_new_conversation_is_compared_by_its_system_prompt_whatever_it_is_about() -> None:
    long = [("user", "x" * 20_000), ("assistant", "y" * 20_000)]

    parting = find_break(
        parts(system("2026-11-29"), *long), parts(system("2026-11-30"), ("user", "z" * 20_000))
    )

    assert parting is not None
    assert parting.part == "message 1 (system)"


def test_several_things_that_change_are_found_at_the_first_of_them() -> None:
    def prompt(day: int, commit: str) -> list[bytes]:
        head, tail = RULES[: len(RULES) // 2], RULES[len(RULES) // 2 :]
        return parts(f"Day {day}\n{head}\nCommit: {commit}\n{tail}\nDay {day}", HI)

    parting = find_break(prompt(1, "deadbeef1"), prompt(2, "cafe1234a"))

    assert parting is not None
    assert parting.kind is Kind.COUNTER
    assert parting.same_bytes > len(RULES) * 0.9


def test_tools_in_another_order_are_named_by_the_first_that_moved() -> None:
    parting = find_break(BEFORE, parts(system("2026-11-29"), HI, tools=MOVED))

    assert parting is not None
    assert (parting.part, parting.kind) == ("tools", Kind.ORDER)
    assert (parting.before, parting.now) == ("tool_2", "tool_5")


@pytest.mark.parametrize("tools", [TOOLS[:-1], TOOLS[1:], (*TOOLS, {"name": "new"})])
def test_tools_that_come_and_go_break_the_prefix(tools: tuple[object, ...]) -> None:
    parting = find_break(BEFORE, parts(system("2026-11-29"), HI, tools=tools))

    assert parting is not None
    assert (parting.part, parting.kind) == ("tools", Kind.TEXT)


LONG = [(role, f"{role} {n} says something of some length. " * 8) for n in range(8) for role in ("user", "assistant")]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "part"),
    [
        ([*LONG[:3], ("assistant", "cleared"), *LONG[4:]], "message 5 (assistant)"),
        ([*LONG[:3], ("user", "A reminder."), *LONG[3:]], "message 5 (user)"),
        (LONG[2:], "message 2 (user)"),
    ],
    ids=["an old message changed", "one put between", "the oldest dropped"],
)
def test_a_history_that_changes_in_its_middle_breaks_the_prefix(now: list[Said], part: str) -> None:
    parting = find_break(parts("Be kind.", *LONG, tools=()), parts("Be kind.", *now, tools=()))

    assert parting is not None
    assert (parting.part, parting.kind) == (part, Kind.TEXT)


SAME = system("2026-11-29")


@pytest.mark.parametrize(
    "now",
    [
        BEFORE,
        parts(SAME, *MORE),
        BEFORE[:-1],
        parts(SAME, ("user", "another question altogether")),
        parts("Write a title for this conversation. " * 20, HI),
        parts("Write a title for this conversation. " * 20, HI, tools=()),
        parts(SAME, HI, tools=()),
        parts(SAME, ("user", "A summary of all that was said. " * 99)),
        [],
    ],
    ids=[
        "the same again",
        "a turn more",
        "a history that was shortened",
        "another question",
        "another system prompt",
        "a title",
        "the same without tools",
        "a summary",
        "nothing",
    ],
)
def test_what_is_no_break(now: list[bytes]) -> None:
    assert find_break(BEFORE, now) is None
    assert find_break(now, BEFORE) is None


def test_another_prompt_that_has_a_paragraph_in_common_is_no_break() -> None:
    shared = RULES[: 2 * LEAST_SAME_BYTES]
    planner, coder = ("".join(f"{who} {n}. " for n in range(500)) for who in ("plan", "code"))

    assert find_break(parts(f"{planner}\n{shared}"), parts(f"{coder}\n{shared}")) is None


def test_little_that_is_the_same_behind_the_place_is_no_break() -> None:
    before, now = (parts(f"{RULES}\nDay {day}. Be brief.", HI) for day in (1, 2))

    assert find_break(before, now) is None


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ([b'"once 1 %b"'], "prompt"),
        ([b'"high 1 %b"', b'{"role":"user"}'], "reasoning_effort"),
        ([b'{"x": 1, "y": "%b"}', b'{"role":"user"}'], "chat_template_kwargs"),
        ([b"[1]", b'{"role":"user"}', b'{"role":"tool","content":"1 %b"}'], "message 2 (tool)"),
    ],
)
def test_every_part_has_a_name(raw: list[bytes], part: str) -> None:
    filler = b"z" * LEAST_SAME_BYTES
    before = [each.replace(b"%b", filler) for each in raw]
    now = [each.replace(b"1 ", b"2 ").replace(b"1,", b"2,") for each in before]

    parting = find_break(before, now)

    assert parting is not None
    assert parting.part == part


@given(one=st.binary(max_size=200), other=st.binary(max_size=200), start=st.binary(max_size=200))
def test_common_bytes_are_those_up_to_the_first_that_differs(
    one: bytes, other: bytes, start: bytes
) -> None:
    a, b = start + one, start + other

    common = common_bytes(a, b)

    assert a[:common] == b[:common]
    assert a[common : common + 1] != b[common : common + 1] or common == min(len(a), len(b))


PART = st.one_of(
    st.binary(max_size=60), st.sampled_from([*BEFORE, b"[]", b"[1,2]", b'{"role":1}', b"\xff["])
)


@given(before=st.lists(PART, max_size=5), now=st.lists(PART, max_size=5))
def test_any_two_prompts_can_be_compared(before: list[bytes], now: list[bytes]) -> None:
    parting = find_break(before, now)

    if parting is not None:
        assert parting.same_bytes >= LEAST_SAME_BYTES
        assert 0 <= parting.offset_bytes < sum(map(len, now))


@given(at=st.integers(0, 900), more=st.lists(st.text(max_size=50), max_size=3))
def test_one_byte_that_changes_is_found_wherever_enough_comes_after_it(
    at: int, more: list[str]
) -> None:
    text = RULES[:at] + "#" + RULES[at + 1 :]
    before, now = parts(RULES, HI), parts(text, HI, *(("user", each) for each in more))

    parting = find_break(before, now)

    same = RULES[at] == "#"
    assert (parting is None) == same
    if parting is not None:
        assert b"".join(now)[parting.offset_bytes : parting.offset_bytes + 1] == b"#"


def test_places_are_told_in_tokens_by_the_size_of_a_prompt_like_it() -> None:
    said = estimated(A_PARTING, tokens=5_000, size_bytes=20_000)

    assert (said.tokens, said.again_tokens, said.is_exact) == (1_000, 2_000, False)


@pytest.mark.parametrize(
    ("cached", "tokens", "again", "is_exact"),
    [(900, 900, 2_000, True), (1_200, 1_200, 2_000, True), (3, 1_000, 2_000, False), (3_700, 1_000, 1_300, False)],
)  # fmt: skip
def test_the_engines_own_count_is_the_place_if_it_is_near_the_estimate(
    cached: int, tokens: int, again: int, *, is_exact: bool
) -> None:
    parting = replace(A_PARTING, tokens=1_000, again_tokens=2_000)

    said = measured(parting, cached=cached, prompt_tokens=5_000, before_tokens=4_500)

    assert said is not None
    assert (said.tokens, said.again_tokens, said.is_exact) == (tokens, again, is_exact)


@pytest.mark.parametrize(("cached", "before"), [(4_999, 4_500), (4_480, 4_500), (4_990, None)])
def test_what_was_cached_nevertheless_is_no_break(cached: int, before: int | None) -> None:
    parting = replace(A_PARTING, tokens=1_000, again_tokens=2_000)

    assert measured(parting, cached=cached, prompt_tokens=5_000, before_tokens=before) is None
