"""What engines and clients do beside the rule, and what is made of it, from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.house import CHAT, a_house
from tests.integration.test_endpoints import (
    MESSAGES,
    RESPONSES,
    a_message,
    a_response,
    post,
    requests_of,
)

pytestmark = pytest.mark.anyio

DONE = b"data: [DONE]\n\n"
FULL = "Context size has been exceeded."
TOO_LONG_FOR_VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 9050 tokens "
    "(9000 in the messages, 50 in the completion). Please reduce the length of the messages or "
    "completion."
)
TOO_LONG_FOR_SGLANG = (
    "The input (9000 tokens) is longer than the model's context length (4096 tokens)."
)


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def call(index: int, id_: str, name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    return chunk(tool_calls=[{"index": index, "id": id_, "function": function}])


def streamed(*pieces: bytes) -> dict[str, Any]:
    return {"pieces": [piece.hex() for piece in pieces]}


async def test_two_calls_that_an_engine_numbers_alike_are_two_in_a_message(tmp_path: Path) -> None:
    said = streamed(call(0, "a", "f", "{}"), call(0, "b", "g", "{}"), chunk("tool_calls"), DONE)
    async with a_house(tmp_path) as house:
        await house.ready()

        _, _, text = await post(house, MESSAGES, a_message(**said))

    assert [block["name"] for block in json.loads(text)["content"]] == ["f", "g"]


async def test_two_calls_of_a_response_never_share_an_id(tmp_path: Path) -> None:
    """OpenAI's client ends the stream with an error where they do."""
    said = streamed(call(0, "a", "f", "{}"), call(1, "a", "g", "{}"), chunk("tool_calls"), DONE)
    async with a_house(tmp_path) as house:
        await house.ready()

        _, _, text = await post(house, RESPONSES, a_response(**said))

    assert len({item["call_id"] for item in json.loads(text)["output"]}) == 2


async def test_a_message_with_a_broken_call_can_be_sent_back(tmp_path: Path) -> None:
    said = streamed(call(0, "a", "f", '{"a":'), chunk("tool_calls"), DONE)
    async with a_house(tmp_path) as house:
        await house.ready()
        asked = a_message(**said)
        _, _, text = await post(house, MESSAGES, asked)
        content = json.loads(text)["content"]
        result = {"type": "tool_result", "tool_use_id": content[0]["id"], "is_error": True}
        turns = [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]

        status, _, _ = await post(
            house, MESSAGES, {**asked, "messages": [*asked["messages"], *turns]}
        )

    assert status == 200


async def test_an_overflow_within_a_stream_is_told_with_both_numbers(tmp_path: Path) -> None:
    error = {"message": "too long", "code": 400, "type": "exceed_context_size_error"}
    event = json.dumps({"error": {**error, "n_prompt_tokens": 9000, "n_ctx": 4096}}).encode()
    async with a_house(tmp_path) as house:
        await house.ready()

        said = streamed(b"data: " + event + b"\n\n")
        _, _, text = await post(house, MESSAGES, a_message(**said))

    message = json.loads(text)["error"]["message"]
    assert message == "prompt is too long: 9000 tokens > 4096 maximum"


async def test_a_chat_that_its_engine_ends_with_an_error_has_failed(tmp_path: Path) -> None:
    error = {"error": {"message": FULL, "code": 500, "type": "server_error"}}
    event = b'data: {"error":' + json.dumps(error["error"]).encode() + b"}\n\n"
    async with a_house(tmp_path) as house:
        await house.ready()

        said = streamed(chunk(content="a"), event)
        _, _, text = await post(house, CHAT, {**a_message(**said), "stream": True})
        (over,) = await requests_of(house, "recent")

    assert text.count(b'"error"') == 1
    assert over["phase"] == "failed"


@pytest.mark.parametrize("message", [TOO_LONG_FOR_VLLM, TOO_LONG_FOR_SGLANG])
async def test_an_overflow_is_known_in_every_engines_words(message: str, tmp_path: Path) -> None:
    error = {"object": "error", "message": message, "type": "BadRequestError", "code": 400}
    async with a_house(tmp_path) as house:
        await house.ready()

        asked = a_message(status=400, body=json.dumps({"error": error}))
        _, _, text = await post(house, MESSAGES, asked)

    told = json.loads(text)["error"]["message"]
    assert told == "prompt is too long: 9000 tokens > 4096 maximum"


async def test_a_format_in_a_chats_field_is_not_ignored_by_a_response(tmp_path: Path) -> None:
    schema = {"name": "x", "schema": {"type": "object"}}
    async with a_house(tmp_path) as house:
        await house.ready()

        asked = {"response_format": {"type": "json_schema", "json_schema": schema}}
        status, _, _ = await post(house, RESPONSES, {**a_response(), **asked})

    assert status == 400


async def test_a_messages_effort_reaches_the_template(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()

        await post(house, MESSAGES, {**a_message(), "output_config": {"effort": "high"}})
        (sent,) = [json.loads(chat["body"]) for chat in house.chats()]

    assert sent["chat_template_kwargs"] == {"reasoning_effort": "high"}
