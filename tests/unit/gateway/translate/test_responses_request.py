"""What a request for a response becomes as a chat completion."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from localllm.errors import BadRequest
from localllm.gateway.requests.document import MOST_MARKS
from localllm.gateway.translate.responses_request import responses_request
from localllm.gateway.translate.responses_store import ResponseStore
from tests.unit.gateway.translate.responses_talk import Ids, answered, delta, messages, translate

USER = {"type": "message", "role": "user", "content": "hi"}
CHAT_USER = {"role": "user", "content": "hi"}
PIXEL = "data:image/png;base64,iVBORw0KGgo="
IMAGE = {"type": "input_image", "image_url": PIXEL, "detail": "low"}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}


def call(call_id: str, name: str = "read", arguments: str = "{}") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def chat_call(call_id: str, name: str = "read", arguments: str = "{}") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def output(call_id: str, text: Any = "done") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def thought(**fields: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": []} | fields


def by_model(text: str = "", *calls: dict[str, Any], thoughts: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": text}
    if thoughts is not None:
        made["reasoning_content"] = thoughts
    if calls:
        made["tool_calls"] = list(calls)
    return made


def tool(call_id: str, text: str = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yo"}]}
CONVERSATIONS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a string": ("hi", [CHAT_USER]),
    "a message": ([USER], [CHAT_USER]),
    "without type": ([{"role": "user", "content": "hi"}], [CHAT_USER]),
    "parts of text": (
        [{"role": "user", "content": [{"type": "input_text", "text": t} for t in "ab"]}],
        [{"role": "user", "content": "a\n\nb"}],
    ),
    "users in a row": ([USER, USER], [{"role": "user", "content": "hi\n\nhi"}]),
    "an image": (
        [{"role": "user", "content": [{"type": "input_text", "text": "see"}, IMAGE]}],
        [{"role": "user", "content": [{"type": "text", "text": "see"}, CHAT_IMAGE]}],
    ),
    "a text file": (
        [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "filename": "a.txt",
                        "file_data": f"data:text/plain;base64,{base64.b64encode(b'abc').decode()}",
                    }
                ],
            }
        ],
        [{"role": "user", "content": "a.txt:\nabc"}],
    ),
    "sound": (
        [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "a"}}]}],
        [
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "a"}}],
            }
        ],
    ),
    "an unknown part": (
        [{"role": "user", "content": [{"type": "new", "text": "hi"}, {"type": "newer"}]}],
        [CHAT_USER],
    ),
    "developer and system first": (
        [{"role": "developer", "content": "a"}, {"role": "system", "content": "b"}, USER],
        [{"role": "system", "content": "a\n\nb"}, CHAT_USER],
    ),
    "developer later": (
        [USER, SAID, {"role": "developer", "content": "a"}, USER],
        [
            CHAT_USER,
            by_model("yo"),
            {"role": "user", "content": "<system-reminder>\na\n</system-reminder>\n\nhi"},
        ],
    ),
    "developer between a call and the next": (
        [USER, call("1"), output("1"), {"role": "developer", "content": "a"}, SAID],
        [
            CHAT_USER,
            by_model("", chat_call("1")),
            tool("1"),
            {"role": "user", "content": "<system-reminder>\na\n</system-reminder>"},
            by_model("yo"),
        ],
    ),
    "an answer": ([USER, SAID, USER], [CHAT_USER, by_model("yo"), CHAT_USER]),
    "an answer without type": (
        [USER, {"role": "assistant", "content": "yo"}],
        [CHAT_USER, by_model("yo")],
    ),
    "a refusal": (
        [USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [CHAT_USER, by_model("no")],
    ),
    "a turn in pieces": (
        [
            USER,
            thought(content=[{"type": "reasoning_text", "text": "hm"}]),
            SAID,
            call("1"),
            call("2"),
            output("1"),
            output("2", [{"type": "input_text", "text": "x"}]),
            thought(content=[{"type": "reasoning_text", "text": "so"}]),
            SAID,
        ],
        [
            CHAT_USER,
            by_model("yo", chat_call("1"), chat_call("2"), thoughts="hm"),
            tool("1"),
            tool("2", "x"),
            by_model("yo", thoughts="so"),
        ],
    ),
    "a call without type": (
        [USER, {"call_id": "1", "name": "read", "arguments": "{}"}, {"call_id": "1", "output": ""}],
        [CHAT_USER, by_model("", chat_call("1")), tool("1", "")],
    ),
    "thoughts of which a summary is left": (
        [USER, thought(summary=[{"type": "summary_text", "text": "hm"}], content=None), SAID],
        [CHAT_USER, by_model("yo", thoughts="hm")],
    ),
    "thoughts that another server sealed": (
        [USER, thought(encrypted_content="gAAAA"), SAID],
        [CHAT_USER, by_model("yo")],
    ),
    "thoughts after which nothing was said": (
        [USER, thought(content=[{"type": "reasoning_text", "text": "hm"}]), USER],
        [{"role": "user", "content": "hi\n\nhi"}],
    ),
    "a custom call": (
        [
            USER,
            {"type": "custom_tool_call", "call_id": "1", "name": "apply_patch", "input": 'a"b'},
            {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
        ],
        [CHAT_USER, by_model("", chat_call("1", "apply_patch", '{"input":"a\\"b"}')), tool("1")],
    ),
    "a namespaced call": (
        [USER, call("1", "close") | {"namespace": "agents"}, output("1")],
        [CHAT_USER, by_model("", chat_call("1", "agents__close")), tool("1")],
    ),
    "an output that is an object": (
        [USER, call("1"), output("1", {"a": 1})],
        [CHAT_USER, by_model("", chat_call("1")), tool("1", '{"a":1}')],
    ),
    "images from tools": (
        [USER, call("1"), call("2"), output("1", [IMAGE]), output("2"), SAID],
        [
            CHAT_USER,
            by_model("", chat_call("1"), chat_call("2")),
            tool("1", "The result is shown below."),
            tool("2"),
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Returned by the tool call 1:"},
                    CHAT_IMAGE,
                ],
            },
            by_model("yo"),
        ],
    ),
    "a hosted tool's call and answer": (
        [
            USER,
            {"type": "local_shell_call", "id": "a", "call_id": "1", "action": {"command": ["ls"]}},
            {"type": "local_shell_call_output", "call_id": "1", "output": "done"},
        ],
        [
            CHAT_USER,
            by_model("", chat_call("1", "local_shell", '{"action":{"command":["ls"]}}')),
            tool("1"),
        ],
    ),
    "items that nobody knows": (
        [
            {"type": "web_search_call", "id": "a", "action": {}},
            {"type": "compaction", "encrypted_content": "x"},
            {"type": "shell_call", "call_id": "9"},
            {"type": "shell_call_output", "call_id": "8"},
            {"neither": 1},
            USER,
        ],
        [CHAT_USER],
    ),
}


@pytest.mark.parametrize(("items", "expected"), CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_conversation_becomes_messages_that_every_template_takes(
    items: Any, expected: list[dict[str, Any]]
) -> None:
    assert messages(items) == expected


def test_instructions_come_before_all_else() -> None:
    assert messages([{"role": "developer", "content": "b"}, USER], instructions="a") == [
        {"role": "system", "content": "a\n\nb"},
        CHAT_USER,
    ]


SCHEMA = {"type": "object", "properties": {}}
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_output_tokens": ({"max_output_tokens": 9}, {"max_tokens": 9}),
    "sampling": (
        {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 1, "frequency_penalty": -1},
        {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 1.0, "frequency_penalty": -1.0},
    ),
    "parallel_tool_calls": ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    "nulls": ({"max_output_tokens": None, "temperature": None, "tools": None, "text": None}, {}),
    "text": ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {}),
    "json_object": (
        {"text": {"format": {"type": "json_object"}}},
        {"response_format": {"type": "json_object"}},
    ),
    "json_schema": (
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "some effort": (
        {"reasoning": {"effort": "xhigh", "summary": "auto"}},
        {"reasoning_effort": "high", "chat_template_kwargs": {"reasoning_effort": "high"}},
    ),
    "no effort": (
        {"reasoning": {"effort": "none"}},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    "minimal effort": (
        {"reasoning": {"effort": "minimal"}},
        {
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": False, "reasoning_effort": "low"},
        },
    ),
    "what the client itself tells the template": (
        {"reasoning": {"effort": "none"}, "chat_template_kwargs": {"enable_thinking": True}},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ),
    "the engine's own fields": ({"top_k": 40, "seed": 7}, {"top_k": 40, "seed": 7}),
    "a chat completion's fields that do no harm": ({"n": 1, "stop": "a"}, {"stop": "a"}),
    "what concerns the service": (
        {
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
            "client_metadata": {"a": "b"},
            "user": "u",
            "truncation": "auto",
            "service_tier": "auto",
            "stream_options": {"include_obfuscation": False},
        },
        {},
    ),
}
ALWAYS = {
    "model": "m",
    "messages": [CHAT_USER],
    "stream": True,
    "stream_options": {"include_usage": True},
    "timings_per_token": True,
    "return_progress": True,
}


@pytest.mark.parametrize(("asked", "chat"), FIELDS.values(), ids=FIELDS)
def test_each_field_has_its_counterpart(asked: dict[str, Any], chat: dict[str, Any]) -> None:
    assert translate(**asked).chat == ALWAYS | chat


@pytest.mark.parametrize(("stream", "is_stream"), [(True, True), (False, False), (None, False)])
def test_whether_the_client_wants_a_stream_is_told_apart(
    stream: bool | None, is_stream: bool
) -> None:
    translated = translate(stream=stream)

    assert (translated.is_stream, translated.model) == (is_stream, "m")
    assert translate(model=None).model is None


LONE_FILE = {"type": "input_file", "file_id": "file-1"}
PDF = {"type": "input_file", "file_data": base64.b64encode(b"%PDF\xff\x00").decode()}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": 1}, "model"),
    "no input": ({"input": None}, "input"),
    "an empty input": ({"input": []}, "input"),
    "instructions alone": ({"input": None, "instructions": "a"}, "input"),
    "an input of another kind": ({"input": 7}, "input"),
    "an item that is none": ({"input": [USER, "hi"]}, "input[1]"),
    "a role": ({"input": [USER | {"role": "wizard"}]}, "input[0].role"),
    "content": ({"input": [USER | {"content": 7}]}, "input[0].content"),
    "a part": (
        {"input": [USER | {"content": [{"type": "input_text", "text": 7}]}]},
        "input[0].content[0].text",
    ),
    "a call without id": ({"input": [USER, {"type": "function_call"}]}, "input[1].call_id"),
    "a call's arguments": ({"input": [call("1") | {"arguments": {}}]}, "input[0].arguments"),
    "an output's part": ({"input": [output("1", [{"text": "a"}])]}, "input[0].output[0].type"),
    "a file that is not kept": (
        {"input": [USER | {"content": [LONE_FILE]}]},
        "input[0].content[0]",
    ),
    "a file that is no text": (
        {"input": [USER | {"content": [PDF]}]},
        "input[0].content[0].file_data",
    ),
    "an image that is not kept": (
        {"input": [USER | {"content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0]",
    ),
    "a reference to nothing": ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].id"),
    "background": ({"background": True}, "background"),
    "conversation": ({"conversation": "conv_1"}, "conversation"),
    "prompt": ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    "max_output_tokens": ({"max_output_tokens": 0}, "max_output_tokens"),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "top_logprobs": ({"top_logprobs": 21}, "top_logprobs"),
    "effort": ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    "truncation": ({"truncation": "much"}, "truncation"),
    "a format": ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    "a format without its schema": (
        {"text": {"format": {"type": "json_schema", "name": "n"}}},
        "text.format.schema",
    ),
    "metadata": ({"metadata": {"a": 1}}, "metadata[...]"),
    "previous": ({"previous_response_id": "resp_x"}, "previous_response_id"),
    "a tool without type": ({"tools": [{"name": "a"}]}, "tools[0].type"),
    "a function without name": ({"tools": [{"type": "function"}]}, "tools[0].name"),
    "a namespace's tool": (
        {"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function"}]}]},
        "tools[0].tools[0].name",
    ),
    "tool_choice": ({"tool_choice": "maybe"}, "tool_choice"),
    "tool_choice without tools": ({"tool_choice": "required"}, "tool_choice"),
    "a chosen tool": ({"tool_choice": {"type": "function", "name": "a"}}, "tool_choice.name"),
    "a hosted tool": ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
}


@pytest.mark.parametrize(("fields", "param"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        translate(**fields)

    assert refused.value.param == param


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"7", b'{"input": "\xff"}', b'{"a":' * 100_000, b"null"]
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest) as refused:
        responses_request(body, earlier=ResponseStore().of(""), new_id=Ids(), now=lambda: 0.0)

    assert refused.value.param is None


def test_a_body_that_is_too_much_work_is_not_parsed() -> None:
    body = b'{"input": "hi", "unknown": [%s[]]}' % (b"[]," * MOST_MARKS)

    with pytest.raises(BadRequest) as refused:
        responses_request(body, earlier=ResponseStore().of(""), new_id=Ids(), now=lambda: 0.0)

    assert str(MOST_MARKS) in refused.value.why


def test_a_request_goes_on_from_earlier_responses_without_their_instructions() -> None:
    earlier, new_id = ResponseStore().of("someone"), Ids()
    first = translate(earlier, new_id=new_id, input="one", instructions="old")
    answered(first, delta(reasoning_content="hm"), delta(content="two"))
    before = first.answering.whole()["id"]
    second = translate(earlier, new_id=new_id, input="three", previous_response_id=before)
    answered(second, delta(content="four"))

    third = translate(
        earlier,
        new_id=new_id,
        input="five",
        instructions="new",
        previous_response_id=second.answering.whole()["id"],
    )

    assert third.chat["messages"] == [
        {"role": "system", "content": "new"},
        {"role": "user", "content": "one"},
        by_model("two", thoughts="hm"),
        {"role": "user", "content": "three"},
        by_model("four"),
        {"role": "user", "content": "five"},
    ]


def test_a_reference_stands_for_the_item_that_it_names() -> None:
    earlier = ResponseStore().of("someone")
    first = translate(earlier)
    answered(first, delta(content="two"))
    output: Any = first.answering.whole()["output"]

    for reference in ({"type": "item_reference", "id": output[0]["id"]}, {"id": output[0]["id"]}):
        asked = translate(earlier, input=[USER, reference, USER])
        assert asked.chat["messages"] == [CHAT_USER, by_model("two"), CHAT_USER]


def test_all_that_a_response_says_can_be_sent_back_as_input() -> None:
    first = translate()
    answered(first, delta(reasoning_content="hm"), delta(content="two"))
    output: Any = first.answering.whole()["output"]

    sent_back = json.loads(json.dumps(output))

    assert messages([USER, *sent_back]) == [CHAT_USER, by_model("two", thoughts="hm")]


@pytest.mark.parametrize(
    ("name", "value", "send"),
    [
        ("response_format", {"type": "json_object"}, "text.format"),
        ("messages", [{"role": "user", "content": "hi"}], "input"),
        ("max_tokens", 9, "max_output_tokens"),
        ("max_completion_tokens", 9, "max_output_tokens"),
        ("n", 2, "leave it out"),
    ],
)
def test_what_a_chat_completion_says_in_another_way_is_refused_and_not_ignored(
    name: str, value: object, send: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        translate(input="hi", **{name: value})

    assert refused.value.param == name
    assert send in refused.value.fix
