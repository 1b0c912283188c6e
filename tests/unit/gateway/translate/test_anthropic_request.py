"""What an engine is asked for, when a client of the Messages API asks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localllm.errors import BadRequest
from localllm.gateway.translate.anthropic_request import count_tokens_request, messages_request
from localllm.gateway.translate.chunks import parse_chunk
from localllm.gateway.translate.translation import Translated

HI = [{"role": "user", "content": "hi"}]
ASKED = {"model": "a-model", "max_tokens": 100, "messages": HI}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


def new_id(prefix: str) -> str:
    return f"{prefix}1"


def translated(**members: Any) -> Translated:
    return messages_request(json.dumps({**ASKED, **members}).encode(), new_id)


def chat(**members: Any) -> dict[str, Any]:
    """The chat completion, without what all of them have."""
    all_have = chat_of(translated())
    said = chat_of(translated(**members))
    return {k: v for k, v in said.items() if k in members or all_have.get(k) != v}


def chat_of(asked: Translated) -> dict[str, Any]:
    return json.loads(json.dumps(asked.chat))  # type: ignore[no-any-return]


def test_the_engine_is_always_asked_to_stream_and_to_count() -> None:
    assert chat_of(translated(stream=False)) == {
        "model": "a-model",
        "messages": HI,
        "max_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "return_progress": True,
    }


@pytest.mark.parametrize(("stream", "is_stream"), [(True, True), (False, False), (None, False)])
def test_whether_the_client_wants_a_stream_is_told(stream: bool | None, is_stream: bool) -> None:
    asked = translated(stream=stream)

    assert (asked.model, asked.is_stream) == ("a-model", is_stream)


def test_without_a_model_whatever_is_served_may_answer() -> None:
    asked = translated(model=None)

    assert asked.model is None
    assert "model" not in asked.chat
    assert asked.answering.whole()["model"] == "localllm"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"temperature": 0.5, "top_p": 0.9, "top_k": 40}, None),
        ({"temperature": 1.5}, None),
        ({"max_tokens": 0}, {"max_tokens": 1}),  # the engine reads the prompt for it
        ({"min_p": 0.1, "seed": 7, "id_slot": 2}, None),
        ({"n": 4}, {}),
        ({"metadata": {"user_id": "x"}, "service_tier": "auto"}, {}),
        ({"context_management": {"edits": [{"type": "clear_thinking_20251015"}]}}, {}),
        ({"mcp_servers": [], "container": "x", "betas": ["x"], "inference_geo": "us"}, {}),
        ({"metadata": 5, "service_tier": []}, {}),
        ({"thread": {"type": "create"}, "fallbacks": []}, {}),
        ({"system": None, "tools": None, "tool_choice": None, "thinking": None}, {}),
        ({"stop_sequences": ["END"]}, {}),
    ],
)
def test_a_member_is_translated_or_passed_on_or_has_no_meaning_here(
    members: dict[str, Any], said: dict[str, Any] | None
) -> None:
    assert chat(**members) == (members if said is None else said)


THINKS = {"chat_template_kwargs": {"enable_thinking": True}}
DOES_NOT = {"chat_template_kwargs": {"enable_thinking": False}}
BEGUN = [*HI, {"role": "assistant", "content": "The answer is ("}]


def effort(word: str) -> dict[str, Any]:
    """Said in both places: services read the one, templates the other."""
    return {"reasoning_effort": word, "chat_template_kwargs": {"reasoning_effort": word}}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, {}),
        ({"thinking": {"type": "enabled"}}, THINKS),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, THINKS),
        ({"thinking": {"type": "between_tools"}}, {}),
        ({"thinking": {"type": "disabled"}}, DOES_NOT),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {**THINKS, "thinking_budget_tokens": 2000},
        ),
        ({"output_config": {"effort": "low"}}, effort("low")),
        ({"output_config": {"effort": "high"}}, effort("high")),
        ({"output_config": {"effort": "max"}}, effort("high")),
        ({"output_config": {"effort": "a new one"}}, {}),
        (
            {"thinking": {"type": "enabled"}, "chat_template_kwargs": {"enable_thinking": False}},
            DOES_NOT,
        ),
        (
            {"thinking": {"type": "disabled"}, "chat_template_kwargs": {"x": 1}},
            {"chat_template_kwargs": {"enable_thinking": False, "x": 1}},
        ),
    ],
)
def test_whether_and_how_much_to_think_is_told(
    members: dict[str, Any], said: dict[str, Any]
) -> None:
    assert chat(**members) == said


@pytest.mark.parametrize(
    ("kind", "thinks"), [("enabled", True), ("adaptive", False), ("disabled", False)]
)
def test_an_answer_that_was_begun_goes_on_without_a_thought(kind: str, thinks: bool) -> None:
    said = chat(messages=BEGUN, thinking={"type": kind})

    assert said["chat_template_kwargs"] == {"enable_thinking": thinks}
    assert chat(messages=BEGUN)["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize(
    "members", [{"output_config": {"format": FORMAT}}, {"output_format": FORMAT}]
)
def test_a_format_is_a_schema_that_binds(members: dict[str, Any]) -> None:
    said = chat(**members)["response_format"]

    assert said == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }


@pytest.mark.parametrize(
    ("thinking", "kinds"),
    [
        (None, ["thinking", "text"]),
        ({"type": "disabled"}, ["text"]),
        ({"type": "adaptive"}, ["thinking", "text"]),
        ({"type": "enabled", "budget_tokens": 1024}, ["thinking", "text"]),
    ],
)
def test_thoughts_are_shown_to_all_but_those_who_forbid_them(
    thinking: dict[str, Any] | None, kinds: list[str]
) -> None:
    answer = translated(thinking=thinking).answering
    answer.begin()
    answer.feed(parse_chunk(b'{"choices":[{"delta":{"reasoning":"hm","content":"yes"}}]}'))
    answer.end()

    assert [block["type"] for block in answer.whole()["content"]] == kinds  # type: ignore[attr-defined]


def test_the_translation_stops_where_the_client_wants_it() -> None:
    answer = translated(stop_sequences=["END"]).answering
    answer.begin()
    answer.feed(parse_chunk(b'{"choices":[{"delta":{"content":"one END two"}}]}'))

    assert answer.is_complete


SYSTEM = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1f2;"}]
TEXTS = [
    {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": "Be kind."},
]


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("Be brief.", "Be brief."),
        (TEXTS, "Be brief.\nBe kind."),
        (SYSTEM + TEXTS, "Be brief.\nBe kind."),
        ("x-anthropic-billing-header: cch=1;\nBe brief.", "Be brief."),
        (SYSTEM, None),
        ("", None),
        ([], None),
    ],
)
def test_the_system_prompt_comes_first_without_what_spoils_the_cache(
    system: str | list[dict[str, Any]], said: str | None
) -> None:
    expected = [] if said is None else [{"role": "system", "content": said}]

    assert chat(system=system).get("messages", HI) == [*expected, *HI]


def test_tokens_are_counted_of_the_same_chat_and_need_no_limit() -> None:
    members = {"model": "a-model", "messages": HI, "system": "Be brief.", "tools": []}
    counted = count_tokens_request(json.dumps(members).encode())

    assert counted == {
        "model": "a-model",
        "messages": [{"role": "system", "content": "Be brief."}, *HI],
    }


def content(*blocks: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [*HI, {"role": "user", "content": 5}]}, "messages[1].content"),
        (content("text"), "messages[0].content[0]"),
        (content({"text": "x"}), "messages[0].content[0].type"),
        (content({"type": "txt"}), "messages[0].content[0].type"),
        (content({"type": "txt"}, role="assistant"), "messages[0].content[0].type"),
        (content({"type": "text", "text": 1}), "messages[0].content[0].text"),
        (content({"type": "image"}), "messages[0].content[0].source"),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": {"name": "f"}}, "tools"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice.type"),
        ({"thinking": {"type": "deep"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": ["a", ""]}, "stop_sequences[1]"),
        ({"stop_sequences": ["é" * 129]}, "stop_sequences[0]"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": "1"}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0].source"),
        ({"system": [{"type": "thinking", "thinking": ""}]}, "system[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}}, "thread"),
        ({"compaction": {"type": "summarize"}}, "compaction"),
        ({"model": ["a-model"]}, "model"),
    ],
)
def test_a_wrong_value_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        translated(**members)

    assert caught.value.param == param
    assert caught.value.what.startswith(f"{param}: ")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b"\xff", b'{"a":"\xff"}', b'{"a":' + b"[" * 100_000, b'{"a":"\\ud800"}'],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    for read in (count_tokens_request, lambda b: messages_request(b, new_id)):
        with pytest.raises(BadRequest) as caught:
            read(body)
        assert caught.value.why
