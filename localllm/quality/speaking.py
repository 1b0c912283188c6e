"""Sends a chat in one of the APIs and reads what comes back: text, calls, how it ended. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec

from localllm.quality.voice import Answer, Body, Silent, Voice

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
_DATA = b"data:"
_THOUGHT_BEGINS, _THOUGHT_ENDS = "<think>", "</think>"
_NOT_ITS_FAULT = frozenset(
    {
        HTTPStatus.NOT_FOUND,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
        HTTPStatus.INSUFFICIENT_STORAGE,
    }
)
"""Of the gateway: it was stopped, or is too busy."""


@dataclass(frozen=True, slots=True)
class Call:
    """Of a tool, as the model wrote it."""

    name: str
    arguments: str
    """JSON, if all is well."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, whole or put together from its stream."""

    text: str = ""
    thought: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = None
    """In OpenAI's words: stop, length, tool_calls."""

    refusal: str | None = None
    """Why there is no answer; None where there is one."""

    @property
    def is_unfinished_thought(self) -> bool:
        """Whether its length was over before it had said anything."""
        is_empty = not self.calls and not self.text.strip()
        return self.finish == "length" and is_empty and bool(self.thought)


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class _Choice(msgspec.Struct):
    message: _Message = msgspec.field(default_factory=_Message)
    delta: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice] = []
    error: Any = None


async def say(voice: Voice, model: str, chat: Body) -> Reply:
    """Ask in OpenAI's words, for the answer as a whole.

    Raises:
        Silent: Nobody answers.
    """
    answer = await voice.ask(CHAT, {"model": model, **chat})
    told = answer.read(_Chat)
    if told is None or not told.choices:
        return _refused(answer)
    choice = told.choices[0]
    calls = tuple(_call(one.function) for one in choice.message.tool_calls or ())
    text, thought = _parted(choice.message.content or "", choice.message.thought)
    return Reply(text, thought, calls, choice.finish_reason)


async def say_streamed(voice: Voice, model: str, chat: Body) -> Reply:
    """The same, streamed.

    Raises:
        Silent: Nobody answers.
    """
    answer = await voice.ask(CHAT, {"model": model, **chat, "stream": True})
    if not answer.is_ok:
        return _refused(answer)
    try:
        events = [msgspec.json.decode(event, type=_Chat) for event in _events(answer.text)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Reply(refusal=f"an event of the stream is none: {error}")
    failed = next((event.error for event in events if event.error), None)
    if failed is not None:
        return Reply(refusal=f"the stream ended with an error: {json.dumps(failed)[:200]}")
    return _put_together([event.choices[0] for event in events if event.choices])


async def say_as_message(voice: Voice, model: str, chat: Body) -> Reply:
    """Ask the same in Anthropic's words, as coding agents do.

    Raises:
        Silent: Nobody answers.
    """
    answer = await voice.ask(MESSAGES, _as_message(model, chat))
    told = answer.read(_Anthropic)
    if told is None:
        return _refused(answer)
    calls = [Call(b.name, json.dumps(b.input)) for b in told.content if b.type == "tool_use"]
    texts = "".join(block.text for block in told.content if block.type == "text")
    thought = "".join(block.thinking for block in told.content)
    return Reply(texts, thought, tuple(calls), _FINISHES.get(told.stop_reason or ""))


def _refused(answer: Answer) -> Reply:
    """Read why there is no answer.

    Raises:
        Silent: The model is gone, or has no place for anybody; what it would say is not known.
    """
    why = answer.read_refusal()
    if answer.status in _NOT_ITS_FAULT:
        raise Silent(why or f"status {answer.status}")
    return Reply(refusal=why if why is not None else "an answer of another shape")


def _parted(text: str, thought: str) -> tuple[str, str]:
    """Part what an engine has left in one: a template may have begun the thought already."""
    before, ended, behind = text.partition(_THOUGHT_ENDS)
    if not ended and not text.lstrip().startswith(_THOUGHT_BEGINS):
        return text, thought
    return behind, thought + before.replace(_THOUGHT_BEGINS, "", 1)


def _call(function: _Function) -> Call:
    return Call(function.name or "", function.arguments or "")


def _events(stream: bytes) -> Iterator[bytes]:
    for line in stream.splitlines():
        data = line.removeprefix(_DATA).strip()
        if line.startswith(_DATA) and data != b"[DONE]":
            yield data


@dataclass(slots=True)
class _Growing:
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


def _put_together(choices: Sequence[_Choice]) -> Reply:
    calls: dict[int, _Growing] = {}
    for choice in choices:
        for one in choice.delta.tool_calls or ():
            growing = calls.setdefault(one.index, _Growing())
            growing.name = growing.name or one.function.name or ""
            growing.arguments.append(one.function.arguments or "")
    text = "".join(choice.delta.content or "" for choice in choices)
    text, thought = _parted(text, "".join(choice.delta.thought for choice in choices))
    return Reply(
        text=text,
        thought=thought,
        calls=tuple(Call(one.name, "".join(one.arguments)) for one in calls.values()),
        finish=next((c.finish_reason for c in choices if c.finish_reason is not None), None),
    )


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    name: str = ""
    input: Any = None


class _Anthropic(msgspec.Struct):
    content: list[_Block]
    stop_reason: str | None = None


_FINISHES: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
}


def _as_message(model: str, chat: Body) -> Body:
    tools = chat.get("tools") or []
    assert isinstance(tools, list), "calls.py has it so"
    functions = [tool["function"] for tool in tools]
    said = {
        "model": model,
        "messages": chat["messages"],
        "max_tokens": chat["max_tokens"],
        "temperature": min(float(str(chat.get("temperature", 0))), 1.0),
        "thinking": {"type": "disabled"},
        "tools": [
            {
                "name": one["name"],
                "description": one["description"],
                "input_schema": one["parameters"],
            }
            for one in functions
        ],
    }
    if chat.get("tool_choice") == "required":
        said["tool_choice"] = {"type": "any"}
    return said
