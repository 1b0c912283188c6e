"""What the mlx worker takes for a request, and what it refuses rather than ignores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from localllm.engines.workers.http import Refusal
from localllm.engines.workers.mlx.request import Abilities, Chat, Request, Text, checked

PLAIN = Abilities(tools=False, images=False, vocabulary=100)
ABLE = Abilities(tools=True, images=True, vocabulary=100)
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
REFUSED = 400


def picture(url: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def chat(can: Abilities = PLAIN, **fields: Any) -> Chat:
    request = checked({"messages": HELLO, **fields}, Chat, can)
    assert isinstance(request, Chat)
    return request


def text(**fields: Any) -> Text:
    request = checked({"prompt": "One,", **fields}, Text, PLAIN)
    assert isinstance(request, Text)
    return request


def refusal(kind: type[Request], can: Abilities, body: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as refused:
        checked(body, kind, can)
    assert refused.value.status == REFUSED
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    return str(refused.value)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": "Hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [{"content": "Hello"}]}, "role"),
        ({"messages": [{"role": "user", "content": 7}]}, "content"),
        ({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}, "type"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": "yes"}}, "include_usage"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -0.5}, "min_p"),
        ({"top_k": 0.5}, "top_k"),
        ({"seed": "dice"}, "seed"),
        ({"stop": [1]}, "stop"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": float("inf")}, "frequency_penalty"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"logit_bias": {"5": "much"}}, "logit_bias"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "name"),
        ({"top_logprobs": 21}, "top_logprobs"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], named: str) -> None:
    assert named in refusal(Chat, ABLE, {"messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"n": 2}, "n:"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        ({"grammar": 'root ::= "x"'}, "grammar"),
        ({"json_schema": {}}, "json_schema"),
        ({"logit_bias": {"100": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"Hello": 1}}, "logit_bias"),
        ({"tools": [TOOL]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "look_up"}}}, "tool_choice"),
        ({"messages": picture("data:image/png;base64,AAAA")}, "no images"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
    ],
)
def test_what_cannot_be_had_is_refused(fields: dict[str, Any], named: str) -> None:
    assert named in refusal(Chat, PLAIN, {"messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["One,", "Two,"]}, "prompt"),
        ({"prompt": [1, "Two"]}, "prompt"),
        ({"prompt": [100]}, "below 100"),
        ({"prompt": [-1]}, "below 100"),
        ({"prompt": 7}, "prompt"),
    ],
)
def test_what_cannot_be_completed_is_refused(fields: dict[str, Any], named: str) -> None:
    assert named in refusal(Text, PLAIN, {"prompt": "One,", **fields})


def test_an_image_is_never_fetched_also_where_images_are_read() -> None:
    body = {"messages": picture("https://example.com/cat.png")}

    assert "data: URL" in refusal(Chat, ABLE, body)
    assert checked({"messages": picture("data:image/png;base64,AAAA")}, Chat, ABLE)


def test_null_means_that_nothing_was_said() -> None:
    names = set(Chat.__struct_fields__) - {"messages"}

    request = chat(**dict.fromkeys(names))

    assert (request.most_tokens, request.stops, request.alternatives) == (None, (), None)
    assert not request.wants_usage
    assert not request.wants_tools


def test_a_request_that_says_all_it_may_is_taken() -> None:
    request = chat(
        ABLE,
        n=1,
        model="another",
        max_tokens=5,
        max_completion_tokens=3,
        stop=["", "\n"],
        stream_options={"include_usage": True},
        tools=[TOOL],
        tool_choice="auto",
        logprobs=True,
        top_logprobs=2,
        response_format={"type": "text"},
        logit_bias={"99": -100},
        chat_template_kwargs={"enable_thinking": False},
        reasoning_effort="low",
        user="somebody",
    )

    assert (request.most_tokens, request.stops, request.alternatives) == (3, ("\n",), 2)
    assert request.wants_usage
    assert request.wants_tools
    assert request.template_settings == {"reasoning_effort": "low", "enable_thinking": False}


def test_tools_that_must_not_be_called_are_no_reason_to_refuse() -> None:
    assert not chat(tools=[TOOL], tool_choice="none").wants_tools
    assert not chat(replace(PLAIN, tools=True), tools=[TOOL], tool_choice="none").wants_tools


@pytest.mark.parametrize(
    ("prompt", "one"), [("One,", "One,"), (["One,"], "One,"), ([1, 2], [1, 2])]
)
def test_a_prompt_is_a_text_or_tokens(prompt: Any, one: Any) -> None:
    assert text(prompt=prompt).one_prompt == one
