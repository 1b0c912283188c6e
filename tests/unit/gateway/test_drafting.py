"""A request whose answer is bound to a grammar asks for no draft; all others stay byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.gateway.drafting import without_draft

CHAT = {"model": "smol", "messages": [{"role": "user", "content": 'a brace } and "quotes"'}]}
BINDING = (
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}},
    {"grammar": 'root ::= "yes" | "no"'},
    {"json_schema": {"type": "object"}},
)
FREE = (
    {},
    {"response_format": {"type": "text"}},
    {"response_format": None},
    {"grammar": ""},
    {"grammar": None},
    {"json_schema": None},
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"messages": [{"role": "user", "content": '"response_format":{"type":"json_object"}'}]},
)


@pytest.mark.parametrize("more", BINDING)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_an_answer_that_is_bound_is_asked_for_without_a_draft(
    more: dict[str, object], indent: int | None, end: str
) -> None:
    body = (json.dumps({**CHAT, **more}, indent=indent) + end).encode()

    sent = without_draft(body)

    assert json.loads(sent) == {**CHAT, **more, "speculative.n_max": 0}
    assert sent.startswith(body[: body.rindex(b"}")])


@pytest.mark.parametrize("more", FREE)
def test_a_free_answer_may_be_drafted_and_its_request_is_not_touched(
    more: dict[str, object],
) -> None:
    body = json.dumps({**CHAT, **more}).encode()

    assert without_draft(body) == body


def test_what_the_client_says_of_drafts_itself_stays() -> None:
    body = json.dumps({**CHAT, **BINDING[0], "speculative.n_max": 5}).encode()

    assert without_draft(body) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"response_format": "json_object"}',
        b'{"grammar": 7}',
        b"[" * 100_000,
        b'{"response_format": {"type": "json_object"}} }',
    ],
)
def test_a_body_that_is_no_request_is_left_for_the_engine_to_refuse(body: bytes) -> None:
    assert without_draft(body) == body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON), st.sampled_from(BINDING))
def test_whatever_else_a_request_says_stays_as_it_was(
    said: dict[str, object], binding: dict[str, object]
) -> None:
    said.pop("speculative.n_max", None)
    whole = {**said, "response_format": None, "grammar": None, "json_schema": None, **binding}
    body = json.dumps(whole, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert json.loads(without_draft(body)) == {**whole, "speculative.n_max": 0}
