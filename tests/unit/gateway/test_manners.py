"""The settings that a name carries fill what a request leaves open, and change nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.gateway.manners import apply_variant, for_engine
from localllm.user_profiles import AS_IT_IS, Manner

CHAT: dict[str, Any] = {"model": "smol", "messages": [{"role": "user", "content": 'a } "b" é'}]}
ALL = Manner(temperature=0.2, top_p=0.9, top_k=20, min_p=0.1, max_tokens=100, thinking=False)


def applied(manner: Manner, **more: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(apply_variant(json.dumps({**CHAT, **more}).encode(), manner))
    return {name: value for name, value in sent.items() if name not in CHAT}


def test_what_a_request_leaves_open_is_filled() -> None:
    assert applied(ALL) == {
        "temperature": 0.2,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.1,
        "max_tokens": 100,
        "chat_template_kwargs": {"enable_thinking": False},
    }


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        (Manner(temperature=0.2), {"temperature": 0}),
        (Manner(top_p=0.2), {"top_p": 1}),
        (Manner(top_k=2), {"top_k": 0}),
        (Manner(min_p=0.2), {"min_p": 0.0}),
        (Manner(max_tokens=9), {"max_tokens": 5}),
        (Manner(max_tokens=9), {"max_completion_tokens": 5}),
        (Manner(max_tokens=9), {"max_output_tokens": 5}),
        (Manner(max_tokens=9), {"n_predict": -1}),
        (Manner(thinking=False), {"chat_template_kwargs": {"enable_thinking": True}}),
        (Manner(reasoning_effort="low"), {"reasoning_effort": "high"}),
        (Manner(thinking=False), {"chat_template_kwargs": "no object"}),
        (Manner(context=4096), {}),
        (AS_IT_IS, {}),
    ],
)
def test_what_a_request_says_itself_stays_and_then_it_is_not_written_anew(
    manner: Manner, said: dict[str, Any]
) -> None:
    body = json.dumps({**CHAT, **said}, indent=3).encode()

    assert apply_variant(body, manner) == body


def test_null_leaves_it_open() -> None:
    nothing = {"temperature": None, "max_tokens": None, "chat_template_kwargs": None}

    assert applied(Manner(temperature=0.2, max_tokens=9, thinking=True), **nothing) == {
        "temperature": 0.2,
        "max_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": True},
    }


def test_other_settings_for_the_template_stay_beside_ours() -> None:
    theirs = {"add_notes": [1.5], "reasoning_effort": "high"}

    sent = applied(Manner(thinking=True, reasoning_effort="low"), chat_template_kwargs=theirs)

    assert sent["chat_template_kwargs"] == {**theirs, "enable_thinking": True}


def test_effort_is_said_to_engines_that_read_the_request_and_to_those_that_read_the_template() -> (
    None
):
    assert applied(Manner(reasoning_effort="low")) == {
        "reasoning_effort": "low",
        "chat_template_kwargs": {"reasoning_effort": "low"},
    }


def test_the_values_of_other_members_stay_byte_for_byte() -> None:
    messages = b'[ {"role":"user", "content":"na\\u00efve \xc3\xa9", "n": 1.50, "big": 1e400} ]'

    sent = apply_variant(b'{ "messages" : ' + messages + b' , "model":"x" }', Manner(top_k=1))

    assert messages in sent
    assert b'"top_k":1' in sent


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[]", b'"x"', b"null", b"\xff", b"[" * 5000, b"{1:2}"]
)
def test_what_is_no_request_is_left_for_the_engine_to_refuse(body: bytes) -> None:
    assert apply_variant(body, ALL) == body
    assert for_engine(body, "vllm", "x") == body


@given(st.dictionaries(st.sampled_from(["temperature", "top_k", "max_tokens", "x"]), st.integers()))
def test_applying_it_twice_is_applying_it_once(said: dict[str, int]) -> None:
    once = apply_variant(json.dumps(said).encode(), ALL)

    assert apply_variant(once, ALL) == once
    assert json.loads(once).items() >= said.items()


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_an_engine_that_looks_at_the_name_gets_its_own(engine: str) -> None:
    body = json.dumps({**CHAT, "model": "claude-opus"}).encode()

    assert json.loads(for_engine(body, engine, "qwen")) == {**CHAT, "model": "qwen"}
    assert json.loads(for_engine(b'{"x":1}', engine, "qwen")) == {"x": 1, "model": "qwen"}


@pytest.mark.parametrize(("engine", "alias"), [("xllamacpp", "qwen"), ("vllm", "smol")])
def test_where_it_does_not_matter_a_request_is_not_written_anew(engine: str, alias: str) -> None:
    body = json.dumps(CHAT, indent=2).encode()

    assert for_engine(body, engine, alias) == body
