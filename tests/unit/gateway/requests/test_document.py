"""Bodies that are no JSON, or JSON that two readers understand differently."""

from __future__ import annotations

import pytest

from localllm.errors import BadRequest
from localllm.gateway.requests.chat import check_chat
from localllm.gateway.requests.document import (
    MOST_MARKS,
    MOST_NESTING,
    deeper_than,
    parse_document,
    without,
)
from tests.unit.gateway.requests.a_request import LIMITS, a_deep_list, as_body

CHAT = b'"messages":[{"role":"user","content":"hi"}]'


def nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"," + CHAT + b"}"


MALFORMED = {
    "nothing": b"",
    "no end": b"{" + CHAT,
    "more after the end": b"{" + CHAT + b"} x",
    "an array": b"[" + b"{" + CHAT + b"}]",
    "a text": b'"hi"',
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{" + CHAT + b"}",
    "UTF-16": ("{" + CHAT.decode() + "}").encode("utf-16"),
    "no UTF-8": b'{"a":"\xff",' + CHAT + b"}",
    "an overlong form of UTF-8": b'{"a":"\xc0\xaf",' + CHAT + b"}",
    "a surrogate as UTF-8": b'{"a":"\xed\xa0\x80",' + CHAT + b"}",
    "half of a character": b'{"a":"\\ud83d",' + CHAT + b"}",
    "the halves the wrong way round": b'{"a":"\\ude00\\ud83d",' + CHAT + b"}",
    "half of a character in a name": b'{"a\\uDC00":1,' + CHAT + b"}",
    "NaN": b'{"a":NaN,' + CHAT + b"}",
    "infinity": b'{"a":-Infinity,' + CHAT + b"}",
    "a number beyond a double": b'{"a":1e999,' + CHAT + b"}",
    "a number of 5000 digits": b'{"a":' + b"9" * 5000 + b"," + CHAT + b"}",
    "a number with a zero before it": b'{"a":01,' + CHAT + b"}",
    "a line break in a text": b'{"a":"\n",' + CHAT + b"}",
    "a comma too many": b"{" + CHAT + b",}",
    "single quotes": b"{'a':1}",
    "too deep": nested(MOST_NESTING),
    "far too deep": nested(200_000),
    "far too deep, with no end": b'{"a":' + b"[" * 1_000_000,
    "deep objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_body_that_is_no_json_object_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        check_chat(body, LIMITS)

    assert caught.value.param is None
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"model":"a","model":"b",' + CHAT + b"}", "model"),
        (b'{"model":"a","m\\u006fdel":"b",' + CHAT + b"}", "model"),
        (
            b'{"messages":[{"role":"user","content":[{"type":"image_url","image_url":'
            b'{"url":"data:image/png;base64,","url":"http://127.0.0.1/"}}]}]}',
            "url",
        ),
        (b'{"' + b"x" * 1000 + b'":1,"' + b"x" * 1000 + b'":2}', "x" * 60),
    ],
    ids=["at the top", "escaped", "within", "long"],
)
def test_a_member_that_is_there_twice_is_refused_by_name(body: bytes, name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_document(body)

    assert caught.value.param == name


@pytest.mark.parametrize(
    "body",
    [
        nested(MOST_NESTING - 1),
        b'{"a":"\\ud83d\\ude00 \\\\ud83d \\u0000",' + CHAT + b"}",
        b' \r\n\t{"a":-0.0,"b":1E5,"c":12345678901234567890123,' + CHAT + b"} \n",
        b'{"input":[' + b"1," * 100_000 + b"1]," + CHAT + b"}",
    ],
    ids=["deep", "whole characters", "blanks and numbers", "many tokens"],
)
def test_all_other_json_is_read(body: bytes) -> None:
    check_chat(body, LIMITS)


@pytest.mark.parametrize("item", [b"[]", b"{}", b"1", b'""'])
def test_a_body_of_very_many_small_parts_is_refused_before_it_is_read(item: bytes) -> None:
    marks = 2 if item in (b"[]", b"{}") else 1

    def body(marks_in_all: int) -> bytes:
        return b'{"a":[' + b",".join([item] * ((marks_in_all - 2) // marks)) + b"]}"

    parse_document(body(MOST_MARKS))
    with pytest.raises(BadRequest, match="commas"):
        parse_document(body(MOST_MARKS + 3))


def test_depth_is_told_without_recursion() -> None:
    deep = a_deep_list(5000)

    assert (deeper_than(deep, 4999), deeper_than(deep, 5000)) == (True, False)
    assert not deeper_than("text", 0)
    assert deeper_than({}, 0)


def test_members_are_taken_out_and_all_else_stays_as_it_was_written() -> None:
    body = b'{"a": 1.50, "suffix": null, "b": "\\u00e9"}'

    assert without(body, {"suffix"}) == b'{"a":1.50,"b":"\\u00e9"}'
    assert without(body, set()) is body


def test_a_body_of_200_kilobytes_keeps_what_it_says() -> None:
    document = {"messages": [{"role": "user", "content": "é\n" * 50_000}]}

    assert parse_document(as_body(document)) == document
