"""Answers in both APIs, whole and in pieces, read as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localllm.quality.calls import TOOLS
from localllm.quality.speaking import (
    CHAT,
    MESSAGES,
    Call,
    Reply,
    say,
    say_as_message,
    say_streamed,
)
from localllm.quality.voice import Answer, Silent
from tests.unit.quality.a_voice import ScriptedVoice

pytestmark = pytest.mark.anyio

ASKED = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0}


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def piece(index: int, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, "function": function}


async def test_a_whole_answer_is_text_thought_and_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "a", "reasoning_content": "t", "tool_calls": [call]}
    answer = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}

    told = await say(ScriptedVoice({CHAT: lambda _: answer}), "m", ASKED)

    assert told == Reply("a", "t", (Call("f", "{}"),), "tool_calls")


@pytest.mark.parametrize(
    ("content", "text", "thought"),
    [
        ("<think>So: 42?</think>It is 42.", "It is 42.", "So: 42?"),
        ("So: 42?</think>It is 42.", "It is 42.", "So: 42?"),
        ("<think>So: 42", "", "So: 42"),
        ("It is 42.", "It is 42.", ""),
    ],
)
async def test_thoughts_that_an_engine_leaves_in_the_text_are_no_answer(
    content: str, text: str, thought: str
) -> None:
    answer = {"choices": [{"message": {"content": content}, "finish_reason": "length"}]}
    stream = chunk(content=content[:9]) + chunk("length", content=content[9:])

    whole = await say(ScriptedVoice({CHAT: lambda _: answer}), "m", ASKED)
    streamed = await say_streamed(ScriptedVoice({CHAT: lambda _: stream}), "m", ASKED)

    assert whole == streamed == Reply(text, thought, (), "length")
    assert whole.is_unfinished_thought is (text == "")


@pytest.mark.parametrize("status", [404, 429, 503, 507])
async def test_one_that_is_gone_or_too_busy_has_not_answered(status: int) -> None:
    busy = Answer(status, b'{"error": {"message": "too many"}}')

    with pytest.raises(Silent):
        await say(ScriptedVoice({CHAT: lambda _: busy}), "m", ASKED)


async def test_a_stream_is_put_together() -> None:
    stream = (
        b": keep-alive\n\n"
        + chunk(role="assistant", content=None)
        + chunk(content="a", reasoning="t")
        + chunk(tool_calls=[piece(0, "f", "")])
        + chunk(tool_calls=[piece(0, None, '{"x"'), piece(1, "g", "{}")])
        + chunk(tool_calls=[piece(0, None, ":1}")])
        + chunk("tool_calls")
        + b'data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'
    )

    told = await say_streamed(ScriptedVoice({CHAT: lambda _: stream}), "m", ASKED)

    calls = (Call("f", '{"x":1}'), Call("g", "{}"))
    assert told == Reply("a", "t", calls, "tool_calls")


async def test_an_error_within_a_stream_is_a_refusal() -> None:
    stream = chunk(content="a") + b'data: {"error": {"message": "out of memory"}}\n\n'

    told = await say_streamed(ScriptedVoice({CHAT: lambda _: stream}), "m", ASKED)

    assert "out of memory" in (told.refusal or "")


async def test_a_message_is_asked_as_agents_do_and_read_as_the_same() -> None:
    block = {"type": "tool_use", "id": "1", "name": "get_weather", "input": {"city": "Oslo"}}
    answer = {"content": [{"type": "text", "text": "a"}, block], "stop_reason": "tool_use"}
    voice = ScriptedVoice({MESSAGES: lambda _: answer})

    told = await say_as_message(voice, "m", {**ASKED, "tools": TOOLS, "tool_choice": "required"})

    assert told == Reply("a", "", (Call("get_weather", '{"city": "Oslo"}'),), "tool_calls")
    body = voice.asked[0][1]
    assert body["tools"][0]["input_schema"]["required"] == ["city"]
    assert body["tool_choice"] == {"type": "any"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Answer(400, b'{"error": {"message": "too long"}}'), "too long"),
        (Answer(400, b'{"error": "in a word"}'), "in a word"),
        (Answer(500, b"oops"), "oops"),
        (Answer(200, b"{}"), "an answer of another shape"),
    ],
)
async def test_what_is_no_answer_says_why(answer: Answer, why: str) -> None:
    assert (await say(ScriptedVoice({CHAT: lambda _: answer}), "m", ASKED)).refusal == why
