"""What it is that changed, and how it is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.prefix.differing import Kind, kind_at, snippet
from localllm.prefix.parting import common_bytes

PAIRS = [
    (Kind.DATE, "2026-11-29", "2026-11-30"),
    (Kind.DATE, "2026-11-30", "2027-01-01"),
    (Kind.DATE, "2026-11-29T10:00:00Z", "2026-11-30T10:00:00Z"),
    (Kind.DATE, "11/29/2026", "11/30/2026"),
    (Kind.DATE, "29.11.2026", "30.11.2026"),
    (Kind.DATE, "Sun Nov 29 2026", "Mon Nov 30 2026"),
    (Kind.DATE, "Sunday, November 29, 2026", "Monday, November 30, 2026"),
    (Kind.DATE, "November 30th", "December 1st"),
    (Kind.DATE, "30 November 2026", "1 December 2026"),
    (Kind.DATE, "Tuesday", "Thursday"),
    (Kind.TIME, "12:34:56", "12:35:01"),
    (Kind.TIME, "9:59 AM", "10:00 AM"),
    (Kind.TIME, "2026-11-30T12:34:56.789Z", "2026-11-30T12:35:00.001Z"),
    (Kind.TIME, "1796000123", "1796000456"),
    (Kind.TIME, "1796000123456", "1796000123999"),
    (Kind.ID, "3f2b8c1a-1111-4222-8333-444455556666", "3f2b8c1a-9111-4222-8333-444455556666"),
    (Kind.ID, "12345678-1111-4222-8333-444455556666", "92345678-1111-4222-8333-444455556666"),
    (Kind.ID, "commit deadbeef12", "commit deadbe0f12"),
    (Kind.ID, "ses_4f3aB0c91234", "ses_9e3aB0c91234"),
    (Kind.COUNTER, "7 files", "12 files"),
    (Kind.COUNTER, "10 turns", "100 turns"),
    (Kind.COUNTER, "cost 1.25", "cost 1.5"),
    (Kind.TEXT, "the branch main", "the branch dev"),
    (Kind.TEXT, "2 files on 2026-11-30", "no files on 2026-11-30"),
    (Kind.TEXT, "", "a word more"),
]


@pytest.mark.parametrize(("kind", "before", "now"), PAIRS)
@pytest.mark.parametrize("frame", ['{"content":"It is %s. Go.\\nOn."}', "%s", 'x %s"'])
def test_the_kind_of_what_changed_is_recognised(
    kind: Kind, before: str, now: str, frame: str
) -> None:
    old, new = (frame.replace("%s", each).encode() for each in (before, now))

    assert kind_at(old, new, common_bytes(old, new)) is kind


@given(text=st.binary(max_size=400), place=st.integers(0, 400))
def test_a_snippet_is_one_short_harmless_line(text: bytes, place: int) -> None:
    shown = snippet(text, min(place, len(text)))

    assert len(shown) <= 60
    assert shown.isprintable()


@given(one=st.binary(max_size=300), other=st.binary(max_size=300))
def test_any_two_texts_have_a_kind(one: bytes, other: bytes) -> None:
    assert kind_at(one, other, common_bytes(one, other)) in Kind


def test_a_snippet_shows_the_words_around_the_place_without_escapes() -> None:
    text = '{"content":"Be brief.\\nSay \\"yes\\" on \u202e2026-11-30, then \\u001b[31mgo é on."}'.encode()

    shown = snippet(text, text.index(b"2026"))

    assert shown == 'brief. Say "yes" on  2026-11-30, then  [31mgo é on."}'
