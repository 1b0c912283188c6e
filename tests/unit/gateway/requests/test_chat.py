"""What a chat completion may ask: each bound at it and one over, each field that is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.errors import BadRequest
from localllm.gateway.http_errors import openai_error
from localllm.gateway.requests.bounds import Limits
from localllm.gateway.requests.chat import ChatHead, check_chat, with_only_tool
from localllm.gateway.requests.private import PRIVATE
from tests.unit.gateway.requests.a_request import (
    LIMITS,
    PIXEL,
    Document,
    a_chat,
    a_deep_list,
    a_deep_schema,
    a_tool,
    as_body,
    with_message,
    with_part,
    with_schema,
)

RECORDED = Path(__file__).parents[3] / "data/agents"
KIB = 1 << 10
MAY_SEND_GRAMMAR = replace(LIMITS, may_send_grammar=True)


def refused(document: object, limits: Limits = LIMITS) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        check_chat(as_body(document), limits)
    return caught.value


def allowed(document: object, limits: Limits = LIMITS) -> ChatHead:
    return check_chat(as_body(document), limits)


def text_of(size: int) -> str:
    """A schema's description, so that the schema has `size` bytes as JSON."""
    return "x" * (size - len('{"description":""}'))


def tools_of(size: int) -> list[Document]:
    """Some tools that have `size` bytes together."""
    empty = [a_tool(f"tool_{number}", description="") for number in range(8)]
    left, each = size - len(as_body(empty)), (size - len(as_body(empty))) // 8
    sizes = [each] * 7 + [left - 7 * each]
    return [a_tool(f"tool_{n}", description="x" * size) for n, size in enumerate(sizes)]


def images(count: int) -> Document:
    part = {"type": "image_url", "image_url": {"url": PIXEL}}
    return a_chat(messages=[{"role": "user", "content": [part] * count}])


def deep_in_a_schema(levels: int) -> Document:
    return a_chat(tools=[{"type": "function", "function": {"name": "f", "parameters": levels}}])


NUMBERS = [
    ("n", 4, 5),
    ("n", 1, 0),
    ("n_cmpl", 4, 5),
    ("max_tokens", 1, 0),
    ("max_tokens", 2**31 - 1, 2**31),
    ("max_completion_tokens", 1, 0),
    ("n_predict", -1, -2),
    ("temperature", 100, 100.1),
    ("temperature", 0, -0.1),
    ("top_p", 1, 1.1),
    ("top_p", 0, -0.1),
    ("presence_penalty", -2, -2.1),
    ("presence_penalty", 2, 2.1),
    ("frequency_penalty", -2, -2.1),
    ("frequency_penalty", 2, 2.1),
    ("seed", -(2**63), -(2**63) - 1),
    ("seed", 2**63 - 1, 2**63),
    ("seed", 0, 10**400),
    ("top_k", -1, -2),
    ("top_k", 2**31 - 1, 2**31),
    ("min_p", 1, 1.1),
    ("typical_p", 0, -1),
    ("top_n_sigma", -10_000, -10_001),
    ("xtc_probability", 1, 2),
    ("xtc_threshold", 0, -1),
    ("dynatemp_range", 0, -1),
    ("dynatemp_exponent", 100, 101),
    ("repeat_penalty", 100, 101),
    ("repeat_penalty", 0.1, 0),
    ("repetition_penalty", 0.1, 0),
    ("repeat_last_n", 4096, 4097),
    ("repeat_last_n", -1, -2),
    ("dry_penalty_last_n", 4096, 4097),
    ("dry_multiplier", 100, 101),
    ("dry_base", 0, -1),
    ("dry_allowed_length", 0, -1),
    ("mirostat", 2, 3),
    ("mirostat_tau", 100, 101),
    ("mirostat_eta", 0, -1),
    ("adaptive_target", 1, 1.1),
    ("adaptive_decay", 0.99, 1),
    ("min_keep", 0, -1),
    ("n_probs", 20, 21),
    ("prompt_logprobs", 20, 21),
    ("n_keep", 0, -1),
    ("n_indent", 0, -1),
    ("t_max_predict_ms", -1, -2),
    ("t_max_prompt_ms", -1, -2),
    ("reasoning_budget_tokens", -1, -2),
    ("thinking_budget_tokens", -1, -2),
    ("speculative.n_max", 64, 65),
    ("speculative.n_min", 0, -1),
    ("speculative.p_min", 1, 1.1),
]


@pytest.mark.parametrize(("name", "at", "over"), NUMBERS)
def test_a_number_is_allowed_at_its_bound_and_refused_by_name_beyond_it(
    name: str, at: float, over: float
) -> None:
    allowed(a_chat(**{name: at}))

    assert refused(a_chat(**{name: over})).param == name


ROWS = [
    ("stop", a_chat(stop=["x"] * 16), a_chat(stop=["x"] * 17)),
    ("stop[1]", a_chat(stop=["", "é" * 128]), a_chat(stop=["", "é" * 128 + "x"])),
    ("stop", a_chat(stop="x" * 256), a_chat(stop="x" * 257)),
    (
        "top_logprobs",
        a_chat(logprobs=True, top_logprobs=20),
        a_chat(logprobs=True, top_logprobs=21),
    ),
    (
        "logit_bias",
        a_chat(logit_bias={str(n): 1 for n in range(1024)}),
        a_chat(logit_bias={str(n): 1 for n in range(1025)}),
    ),
    ("logit_bias", a_chat(logit_bias={"7": -100}), a_chat(logit_bias={"7": -101})),
    ("logit_bias.7", a_chat(logit_bias={"7": False}), a_chat(logit_bias={"7": True})),
    ("samplers", a_chat(samplers=["top_k"] * 32), a_chat(samplers=["top_k"] * 33)),
    (
        "dry_sequence_breakers",
        a_chat(dry_sequence_breakers=["x"] * 16),
        a_chat(dry_sequence_breakers=["x"] * 17),
    ),
    (
        "lora",
        a_chat(lora=[{"id": 0, "scale": 1}] * 16),
        a_chat(lora=[{"id": 0, "scale": 1}] * 17),
    ),
    (
        "tools",
        a_chat(tools=[a_tool(f"t{n}") for n in range(128)]),
        a_chat(tools=[a_tool(f"t{n}") for n in range(129)]),
    ),
    ("tools", a_chat(tools=tools_of(256 * KIB)), a_chat(tools=tools_of(256 * KIB + 1))),
    (
        "tools[0].function.parameters",
        a_chat(tools=[a_tool(properties={"a": a_deep_schema(31)})]),
        a_chat(tools=[a_tool(properties={"a": a_deep_schema(32)})]),
    ),
    (
        "response_format.json_schema.schema",
        with_schema(a_deep_schema(32)),
        with_schema(a_deep_schema(33)),
    ),
    (
        "response_format.json_schema.schema",
        with_schema({"anyOf": [a_deep_schema(31)]}),
        with_schema({"anyOf": [a_deep_schema(32)]}),
    ),
    (
        "response_format.json_schema.schema",
        with_schema({"const": a_deep_list(32)}),
        with_schema({"const": a_deep_list(33)}),
    ),
    (
        "response_format.json_schema.schema",
        with_schema({"description": text_of(64 * KIB)}),
        with_schema({"description": text_of(64 * KIB + 1)}),
    ),
    (
        "response_format.schema",
        a_chat(response_format={"type": "json_object", "schema": a_deep_schema(32)}),
        a_chat(response_format={"type": "json_object", "schema": a_deep_schema(33)}),
    ),
    ("json_schema", a_chat(json_schema=a_deep_schema(32)), a_chat(json_schema=a_deep_schema(33))),
    ("messages[0].content[8]", images(8), images(9)),
    ("model", a_chat(model="m" * 256), a_chat(model="m" * 257)),
]


@pytest.mark.parametrize(("param", "at", "over"), ROWS)
def test_what_is_counted_or_measured_is_allowed_at_its_bound_and_refused_one_over(
    param: str, at: Document, over: Document
) -> None:
    allowed(at)

    assert refused(over).param == param


@pytest.mark.parametrize(
    ("at", "over"),
    [
        ("root ::= " + "(" * 64 + '"x"' + ")" * 64, "root ::= " + "(" * 65 + '"x"' + ")" * 65),
        (r'root ::= "((((\"((((" [^()\]((((] # ((((' * 20, "root ::= " + "(((((" * 20),
        ("x" * 64 * KIB, "x" * (64 * KIB + 1)),
        ('"' + r"\"" * 32_000 + "(" * 100, "(" * 65 + '"' + r"\"" * 32_000),
    ],
    ids=["depth", "not counted in texts", "size", "no end of a text"],
)
def test_a_grammar_has_its_bounds_where_grammars_are_allowed(at: str, over: str) -> None:
    allowed(a_chat(grammar=at), MAY_SEND_GRAMMAR)

    assert refused(a_chat(grammar=over), MAY_SEND_GRAMMAR).param == "grammar"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grammar", 'root ::= "x"'),
        ("ebnf", 'root ::= "x"'),
        ("regex", "x*"),
        ("guided_json", {"type": "object"}),
        ("guided_choice", ["yes", "no"]),
        ("structured_outputs", {"regex": "x*"}),
    ],
)
def test_a_grammar_is_refused_unless_the_user_allows_them(name: str, value: object) -> None:
    assert refused(a_chat(**{name: value})).param == name
    allowed(a_chat(**{name: value}), MAY_SEND_GRAMMAR)


@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_what_is_the_engines_own_affair_is_refused_by_name(name: str) -> None:
    assert refused(a_chat(**{name: 1})).param == name
    allowed(a_chat(**{name: None}))


WRONG = [
    ("messages", {"model": "small"}),
    ("messages", a_chat(messages=[])),
    ("messages", a_chat(messages={"role": "user"})),
    ("messages[1]", a_chat(messages=[{"role": "user", "content": ""}, 7])),
    ("messages[1].role", with_message(content="hi")),
    ("messages[1].role", with_message(role="root", content="hi")),
    ("messages[1].content", with_message(role="user")),
    ("messages[1].content", with_message(role="user", content=None)),
    ("messages[1].content", with_message(role="user", content=7)),
    ("messages[1].tool_call_id", with_message(role="tool", content="hi")),
    ("messages[1].tool_call_id", with_message(role="tool", content="hi", tool_call_id="")),
    (
        "messages[1].tool_calls[0].type",
        with_message(role="assistant", tool_calls=[{"id": "1", "type": "custom"}]),
    ),
    (
        "messages[1].tool_calls[0].function",
        with_message(role="assistant", tool_calls=[{"id": "1", "type": "function"}]),
    ),
    (
        "messages[1].tool_calls[0].function.arguments",
        with_message(
            role="assistant",
            tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {}}}],
        ),
    ),
    ("messages[0].content[1].type", with_part(text="hi")),
    ("messages[0].content[1].text", with_part(type="text")),
    (
        "messages[0].content[1].type",
        with_part(type="input_audio", input_audio={"data": "http://a"}),
    ),
    ("messages[0].content[1].type", with_part(type="video_url", video_url={"url": "http://a"})),
    ("messages[0].content[1].type", with_part(type="file", file={"file_id": "a"})),
    ("messages[0].content[1].image_url", with_part(type="image_url")),
    ("messages[0].content[1].image_url", with_part(type="image_url", image_url=PIXEL)),
    ("messages[0].content[1].image_url.url", with_part(type="image_url", image_url={"url": 7})),
    ("tools[0].type", a_chat(tools=[{"type": "custom", "custom": {"name": "f"}}])),
    ("tools[0].function", a_chat(tools=[{"type": "function"}])),
    ("tools[0].function.name", a_chat(tools=[{"type": "function", "function": {}}])),
    ("tools[0].function.name", a_chat(tools=[a_tool("")])),
    ("tools[0].function.parameters", deep_in_a_schema(7)),
    ("tool_choice", a_chat(tool_choice="required")),
    ("tool_choice", a_chat(tools=[a_tool()], tool_choice="any")),
    ("tool_choice.type", a_chat(tools=[a_tool()], tool_choice={"type": "custom"})),
    ("tool_choice.function", a_chat(tools=[a_tool()], tool_choice={"type": "function"})),
    (
        "tool_choice.function.name",
        a_chat(
            tools=[a_tool("look")], tool_choice={"type": "function", "function": {"name": "run"}}
        ),
    ),
    ("functions", a_chat(functions=[{"name": "f"}])),
    ("stream", a_chat(stream=1)),
    ("stream_options", a_chat(stream_options={"include_usage": True})),
    ("stream_options.include_usage", a_chat(stream=True, stream_options={"include_usage": "yes"})),
    ("n", a_chat(n=1.0)),
    ("n", a_chat(n=True)),
    ("n", a_chat(n="1")),
    ("stop[1]", a_chat(stop=["a", 7])),
    ("logprobs", a_chat(logprobs=3)),
    ("top_logprobs", a_chat(top_logprobs=3)),
    ("logit_bias", a_chat(logit_bias=[[7, 1]])),
    ("modalities", a_chat(modalities=["text", "audio"])),
    ("reasoning_format", a_chat(reasoning_format="loud")),
    ("audio", a_chat(audio={"voice": "alloy"})),
    ("response_format", a_chat(response_format="json_object")),
    ("response_format.type", a_chat(response_format={"schema": {}})),
    ("response_format.type", a_chat(response_format={"type": "grammar"})),
    ("response_format.json_schema.schema", a_chat(response_format={"type": "json_schema"})),
    ("response_format.json_schema.schema", with_schema(None)),
    ("response_format.json_schema.schema", with_schema("object")),
    ("chat_template_kwargs.tokenize", a_chat(chat_template_kwargs={"tokenize": True})),
    ("chat_template_kwargs", a_chat(chat_template_kwargs=["enable_thinking"])),
    ("__prefill_case", a_chat(__prefill_case=1)),
]


@pytest.mark.parametrize(("param", "document"), WRONG)
def test_what_is_wrong_is_named_as_the_client_spelled_it(param: str, document: Document) -> None:
    error = refused(document)

    assert error.param == param
    assert error.why
    assert openai_error(error).body["error"]["param"] == param


ALLOWED = [
    a_chat(),
    {"messages": [{"role": "user", "content": ""}]},
    a_chat(somebodys_own={"a": [1, {"b": None}]}, another=1e300),
    a_chat(**{name: None for name, _, _ in NUMBERS}, stop=None, tools=None, stream_options=None),
    a_chat(tools=[], tool_choice="auto", parallel_tool_calls=True, stop=[]),
    a_chat(max_tokens=100_000),
    a_chat(stream=True, stream_options={"include_usage": True, "include_obfuscation": False}),
    a_chat(cache_prompt=True, return_tokens=True, timings_per_token=True, return_progress=True),
    a_chat(chat_template_kwargs={"enable_thinking": False}, reasoning_effort="low"),
    a_chat(response_format={"type": "text"}, modalities=["text"], temperature=1),
    a_chat(tools=[a_tool()], tool_choice="required", metadata={"a": "b"}, store=False, user="u"),
    a_chat(tools=[{"type": "function", "function": {"name": "f"}}]),
    with_message(role="assistant"),
    with_message(role="assistant", content=None, reasoning_content="hm", tool_calls=[]),
    with_message(role="tool", tool_call_id="1", content=[{"type": "text", "text": "done"}]),
    with_message(role="developer", content="be kind", name="x"),
    with_part(type="text", text="and", cache_control={"type": "ephemeral"}),
    with_part(type="image_url", image_url={"url": PIXEL, "detail": "low"}),
]


@pytest.mark.parametrize("document", ALLOWED)
def test_what_agents_send_is_allowed_and_so_is_a_field_that_nobody_knows(
    document: Document,
) -> None:
    allowed(document)


@pytest.mark.parametrize("agent", ["copilot", "opencode", "pi", "qwen-code"])
def test_what_a_real_agent_has_sent_is_allowed(agent: str) -> None:
    recorded = json.loads((RECORDED / f"{agent}.json").read_bytes())

    allowed(recorded["first"])
    allowed(recorded["then"])


def test_the_head_says_what_the_gateway_has_to_know() -> None:
    document = with_schema({"type": "object"})
    document |= {"stream": True, "stream_options": {"include_usage": True}, "n": 2}
    document |= {"max_tokens": 9, "max_completion_tokens": 8, "tools": [a_tool("look")]}
    document["tool_choice"] = {"type": "function", "function": {"name": "look"}}
    document["messages"] = images(3)["messages"]

    assert allowed(document) == ChatHead(
        stream=True,
        chosen_tool="look",
    )
    assert allowed({"messages": a_chat()["messages"], "n_predict": -1}) == ChatHead(
        stream=False,
        chosen_tool=None,
    )


def test_a_tool_that_was_chosen_by_name_is_the_only_one_and_required() -> None:
    body = b'{"tools": [{"type":"function","function":{"name":"a"}}, {"type":"function","function":{"name":"b","x":1.50}}], "tool_choice": {}, "n": 1}'

    assert with_only_tool(body, "b") == (
        b'{"tools":[{"type":"function","function":{"name":"b","x":1.50}}],'
        b'"tool_choice":"required","n":1}'
    )


def test_where_no_instance_is_known_yet_the_bounds_are_those_of_any() -> None:
    allowed(a_chat(n=64, repeat_last_n=1 << 20), Limits())

    assert refused(a_chat(n=65), Limits()).param == "n"
    assert refused(a_chat(repeat_last_n=(1 << 20) + 1), Limits()).param == "repeat_last_n"


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "look_up"}}]
)
def test_no_call_is_demanded_of_a_model_whose_template_knows_no_tools(choice: object) -> None:
    body = a_chat(tools=[a_tool("look_up")], tool_choice=choice)

    assert refused(body, Limits(takes_tools=False)).param == "tool_choice"
    for takes in (True, None):
        allowed(body, Limits(takes_tools=takes))


def test_tools_that_may_be_called_are_no_demand() -> None:
    allowed(a_chat(tools=[a_tool("look_up")]), Limits(takes_tools=False))
