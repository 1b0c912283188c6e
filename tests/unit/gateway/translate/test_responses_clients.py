"""OpenAI's own client reads what we write, in the strict way of its helper and in its lax one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openresponses_types.types as schema
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from localllm.errors import ContextTooLong
from localllm.gateway.translate.chunks import Progress
from localllm.gateway.translate.responses_request import responses_request
from localllm.gateway.translate.responses_store import ResponseStore
from tests.unit.gateway.translate.responses_oracle import events_of
from tests.unit.gateway.translate.responses_talk import USAGE, Ids, call_delta, delta, fed

FUNCTION = {
    "type": "function",
    "name": "read",
    "description": "Reads.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    },
    "strict": True,
}
BARE = {"type": "function", "name": "list"}
NAMESPACE = {
    "type": "namespace",
    "name": "agents",
    "description": "Agents.",
    "tools": [FUNCTION | {"name": "close"}],
}
CUSTOM = {"type": "custom", "name": "apply_patch"}
TOOLS: Any = [FUNCTION, NAMESPACE, CUSTOM]

THOUGHT = [delta(reasoning_content="Let me"), delta(reasoning_content=" see.")]
TEXT = [delta(content='{"answer"'), delta(content=": 4}")]
CALLS = [
    call_delta(0, '{"path"', "read", "c1"),
    call_delta(0, ': "a"}'),
    call_delta(1, '{"path": "b"}', "agents__close", "c2"),
    call_delta(2, '{"input": "***', "apply_patch", "c3"),
    call_delta(2, ' Begin"}'),
]
ALL = [*THOUGHT, *TEXT, *CALLS, USAGE]

Answer = Callable[[bytes], bytes]


def answering(*chunks: dict[str, Any], fails: bool = False) -> Answer:
    """Make a server of these chunks, with signs of life between them."""

    def answer(body: bytes) -> bytes:
        asked = responses_request(
            body, earlier=ResponseStore().of(""), new_id=Ids(), now=lambda: 1.0
        )
        writer, said = asked.answering, [asked.answering.begin()]
        for chunk in chunks:
            said += [writer.life(Progress(9)), fed(writer, chunk), writer.life(None)]
        if fails:
            said.append(writer.fail(ContextTooLong("Too long.", why="9 > 8", fix="less")))
        else:
            said.append(writer.end())
        return b"".join(said) if asked.is_stream else json.dumps(writer.whole()).encode()

    return answer


def client(answer: Answer) -> OpenAI:
    def handle(request: httpx2.Request) -> httpx2.Response:
        body = answer(request.content)
        kind = "text/event-stream" if body.startswith(b"event") else "application/json"
        return httpx2.Response(200, headers={"content-type": kind}, content=body)

    transport = httpx2.MockTransport(handle)
    return OpenAI(
        api_key="k",
        base_url="http://localhost/v1",
        max_retries=0,
        http_client=httpx2.Client(transport=transport),
    )


class Four(BaseModel):
    answer: int


def test_the_strict_helper_accumulates_thoughts_text_and_every_kind_of_call() -> None:
    with client(answering(*ALL)) as openai:
        with openai.responses.stream(model="m", input="hi", tools=TOOLS) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()

    output: list[Any] = list(final.output)
    assert [item.type for item in output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "custom_tool_call",
    ]
    assert output[0].content[0].text == "Let me see."
    assert final.output_text == '{"answer": 4}'
    assert output[2].parsed_arguments == {"path": "a"}
    assert (output[3].namespace, output[3].name) == ("agents", "close")
    assert (output[4].name, output[4].input) == ("apply_patch", "*** Begin")
    assert final.usage is not None
    assert final.usage.input_tokens_details.cached_tokens == 60
    assert kinds[-1] == "response.completed"


def test_the_strict_helper_parses_structured_output() -> None:
    with client(answering(*TEXT, USAGE)) as openai:
        with openai.responses.stream(model="m", input="hi", text_format=Four) as stream:
            final = stream.get_final_response()

    assert final.output_parsed == Four(answer=4)


def test_a_plain_stream_ends_with_all_of_the_output() -> None:
    with client(answering(*ALL)) as openai:
        events = list(openai.responses.create(model="m", input="hi", tools=TOOLS, stream=True))

    last = events[-1]
    assert last.type == "response.completed"
    done = [e.item.id for e in events if e.type == "response.output_item.done"]
    assert [item.id for item in last.response.output] == done


@pytest.mark.parametrize(
    ("answer", "last"),
    [
        (answering(*THOUGHT, *TEXT, delta("length"), USAGE), "response.incomplete"),
        (answering(*TEXT, fails=True), "response.failed"),
    ],
)
def test_what_was_cut_or_failed_is_an_event_and_not_a_broken_stream(
    answer: Answer, last: str
) -> None:
    with client(answer) as openai:
        events = list(openai.responses.create(model="m", input="hi", stream=True))
        with openai.responses.stream(model="m", input="hi") as stream:
            with pytest.raises(RuntimeError, match=r"response\.completed"):
                stream.get_final_response()

    assert events[-1].type == last


def test_a_document_is_read_where_no_stream_is_wanted() -> None:
    with client(answering(*ALL)) as openai:
        response = openai.responses.create(model="m", input="hi", tools=TOOLS)

    assert (response.status, response.output_text) == ("completed", '{"answer": 4}')


def stream_of(answer: Answer, **fields: Any) -> list[dict[str, Any]]:
    asked = {"model": "m", "input": "hi", "stream": True} | fields
    return events_of(answer(json.dumps(asked).encode()))


ASKED: list[dict[str, Any]] = [
    {},
    {"tools": TOOLS},
    {"tools": TOOLS, "tool_choice": {"type": "custom", "name": "apply_patch"}},
    {
        "instructions": "i",
        "max_output_tokens": 9,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "high", "summary": "auto"},
        "temperature": 0.5,
        "text": {
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}},
            "verbosity": "low",
        },
        "top_p": 0.5,
    },
]
ANSWERS = [
    answering(*ALL),
    answering(*TEXT, delta("length")),
    answering(*TEXT, delta(refusal="No."), delta("content_filter")),
    answering(),
]


@pytest.mark.parametrize("fields", ASKED)
@pytest.mark.parametrize("answer", ANSWERS)
def test_every_event_is_one_of_openais_types(fields: dict[str, Any], answer: Answer) -> None:
    of_openai = TypeAdapter[Any](ResponseStreamEvent)

    for event in stream_of(answer, **fields):
        read = of_openai.validate_python(event)
        assert read.type == event["type"]
        if "response" in event:
            Response.model_validate(event["response"])


def open_types() -> dict[str, type[BaseModel]]:
    """The events of openresponses.org by their names."""
    kinds = [k for name, k in vars(schema).items() if name.endswith("StreamingEvent")]
    return {next(iter(k.model_fields["type"].annotation)).value: k for k in kinds}


NOT_OPEN = ("response.reasoning_text.", "response.custom_tool_call_input.")
"""OpenAI's alone: openresponses.org has `response.reasoning.`, which no client here reads."""


@pytest.mark.parametrize("fields", [ASKED[0], {"tools": [BARE]}])
@pytest.mark.parametrize("answer", [answering(*THOUGHT, *TEXT, *CALLS[:2], USAGE), *ANSWERS[1:]])
def test_every_event_and_document_has_all_that_the_open_schema_wants(
    fields: dict[str, Any], answer: Answer
) -> None:
    types = open_types()

    for event in stream_of(answer, **fields):
        if not event["type"].startswith(NOT_OPEN):
            types[event["type"]].model_validate(event)


def test_the_open_schema_has_the_fields_that_the_test_checks() -> None:
    assert len(schema.ResponseResource.model_fields) >= 31
    assert all(field.is_required() for field in schema.ResponseResource.model_fields.values())
