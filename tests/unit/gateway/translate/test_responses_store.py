"""What is kept of earlier responses, for whom, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.gateway.http_errors import openai_error
from localllm.gateway.translate.responses_store import (
    Conversation,
    PreviousResponseNotFound,
    ResponseStore,
)


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text}


def talk(*texts: str) -> Conversation:
    return Conversation().continued(map(said, texts))


def test_a_conversation_is_found_again() -> None:
    earlier = ResponseStore().of("a")
    earlier.keep("resp_1", talk("x", "y"))

    assert earlier.conversation("resp_1").items() == [said("x"), said("y")]


def test_one_client_never_sees_anothers_conversation() -> None:
    store = ResponseStore()
    store.of("a").keep("resp_1", Conversation().continued([said("x") | {"id": "msg_1"}]))

    with pytest.raises(PreviousResponseNotFound):
        store.of("b").conversation("resp_1")
    assert store.of("b").item("msg_1") is None
    assert store.of("a").item("msg_1") == said("x") | {"id": "msg_1"}


def test_an_unknown_response_is_refused_as_openai_does_and_says_what_is_kept() -> None:
    with pytest.raises(PreviousResponseNotFound) as refused:
        ResponseStore(most_responses=7, most_bytes=1 << 20).of("a").conversation("resp_x")

    reply = openai_error(refused.value)
    detail: Any = reply.body["error"]
    assert (reply.status, detail["code"]) == (400, "previous_response_not_found")
    assert (detail["type"], detail["param"]) == ("invalid_request_error", "previous_response_id")
    message = str(detail["message"])
    assert message.startswith("Previous response with id 'resp_x' not found.")
    assert "in memory only, the latest 7 in 1 MiB" in message


def test_the_least_lately_used_goes_first() -> None:
    store = ResponseStore(most_responses=2)
    earlier = store.of("a")
    earlier.keep("1", talk("x"))
    earlier.keep("2", talk("y"))
    earlier.conversation("1")

    earlier.keep("3", talk("z"))

    assert earlier.conversation("1").items() == [said("x")]
    with pytest.raises(PreviousResponseNotFound):
        earlier.conversation("2")


def test_items_that_responses_share_count_once() -> None:
    store = ResponseStore()
    earlier = store.of("a")
    earlier.keep("1", talk("x" * 1000))
    alone = store.held_bytes

    earlier.keep("2", earlier.conversation("1").continued([]))

    assert store.held_bytes == alone


def test_a_conversation_that_is_too_large_costs_the_others_nothing() -> None:
    store = ResponseStore(most_bytes=2000)
    earlier = store.of("a")
    earlier.keep("1", talk("x"))

    earlier.keep("2", talk("y" * 3000))

    assert earlier.conversation("1").items() == [said("x")]
    assert len(store) == 1


names = st.integers(0, 5).map(str)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("ab"), names, st.none() | names, st.integers(0, 300)),
        max_size=30,
    )
)
def test_the_bounds_hold_and_the_count_is_true_whatever_is_kept(
    steps: list[tuple[str, str, str | None, int]],
) -> None:
    store = ResponseStore(most_responses=4, most_bytes=1500)
    for client, name, before, size in steps:
        start = (before and store.find(client, before)) or Conversation()
        item = said("x" * size) | {"id": f"i{size}"}
        store.of(client).keep(name, start.continued([item]))

        assert len(store) <= 4
        assert store.held_bytes <= 1500
    held = {kept for found in store._found.values() for kept in found.kept}
    assert store.held_bytes == sum(kept.size_bytes for kept in held)
    assert set(store._items.values()) <= held
    assert set(store._uses) == held
