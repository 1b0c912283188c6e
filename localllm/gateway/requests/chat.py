"""What a chat completion may ask, and what the gateway has to know of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.gateway.members import read_members, with_members
from localllm.gateway.requests.binding import check_schema
from localllm.gateway.requests.bounds import Limits, check_generation
from localllm.gateway.requests.document import (
    check_one_of,
    checked,
    json_bytes,
    parse_document,
    wheres,
    wrong,
)
from localllm.gateway.requests.fields import Generation, Probabilities, Word
from localllm.gateway.requests.messages import CALLED, FunctionName, Message, check_messages
from localllm.gateway.requests.private import check_template_settings

MOST_TOOLS = 128
MOST_TOOLS_BYTES = 256 << 10
_CHOICES = ("none", "auto", "required")
_REASONING_FORMATS = ("none", "auto", "deepseek", "deepseek-legacy")
"""llama.cpp calls any other a failure of its own."""


class _Function(msgspec.Struct):
    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str
    function: _Function | None = None


class _ChosenFunction(msgspec.Struct):
    name: FunctionName


class _Choice(msgspec.Struct):
    type: str
    function: _ChosenFunction | None = None


class _Named(msgspec.Struct):
    function: _ChosenFunction


class _Chat(Generation, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1)]
    tools: Annotated[list[_Tool], Meta(max_length=MOST_TOOLS)] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    logprobs: bool | None = None
    top_logprobs: Probabilities | None = None
    modalities: list[Word] | None = None
    audio: dict[str, Any] | None = None
    reasoning_effort: Word | None = None
    reasoning_format: Word | None = None
    reasoning_budget_tokens: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    thinking_budget_tokens: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    verbosity: Word | None = None
    service_tier: Word | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None


@dataclass(frozen=True, slots=True)
class ChatHead:
    """What the gateway has to know of a chat completion."""

    stream: bool
    chosen_tool: str | None
    """The one that has to be called."""


def check_chat(body: bytes, limits: Limits) -> ChatHead:
    """Check a chat completion before an engine sees it; what is allowed is passed on as it is.

    Raises:
        BadRequest: It is no such request, or a field is wrong or beyond its bound; it is named.
    """
    return check_chat_document(parse_document(body), limits)


def with_only_tool(body: bytes, name: str) -> bytes:
    """Have a tool called that was chosen by name, in words that every engine obeys.

    llama.cpp reads such a choice as if there was none; `required` of one tool is the same.
    """
    tools = msgspec.json.decode(read_members(body)["tools"], type=list[msgspec.Raw])
    only = next(t for t in tools if msgspec.json.decode(t, type=_Named).function.name == name)
    return with_members(body, {"tools": [only], "tool_choice": "required"})


def check_chat_document(document: Mapping[str, Any], limits: Limits) -> ChatHead:
    """Check one that is parsed already, as those made of other APIs' requests are.

    Raises:
        BadRequest: As `check_chat`.
    """
    asked = checked(document, _Chat)
    check_generation(document, asked, limits)
    check_template_settings(asked.chat_template_kwargs)
    _check_answer(asked)
    _check_tools(asked.tools or [], document)
    chosen = _chosen(asked)
    if limits.takes_tools is False and (chosen is not None or asked.tool_choice == "required"):
        raise wrong(
            "tool_choice",
            "a tool has to be called, and this model's chat template knows none",
            "ask a model with the ability tools (GET /v1/models), or leave tool_choice out",
        )
    check_messages(asked.messages, limits.image_hosts)
    return ChatHead(bool(asked.stream), chosen)


def _check_answer(asked: _Chat) -> None:
    """Refuse what an answer cannot have here."""
    check_one_of("reasoning_format", asked.reasoning_format, _REASONING_FORMATS)
    if asked.top_logprobs is not None and not asked.logprobs:
        raise wrong("top_logprobs", "it needs logprobs: true", "send that, too")
    if asked.audio is not None or "audio" in (asked.modalities or ()):
        name = "modalities" if asked.audio is None else "audio"
        raise wrong(name, "no engine here speaks", 'leave it out, or send ["text"]')
    if asked.functions:
        raise wrong("functions", "no engine here knows this older form", "send them as tools")


def _check_tools(tools: list[_Tool], document: Mapping[str, Any]) -> None:
    size = json_bytes(document["tools"]) if tools else 0
    if size > MOST_TOOLS_BYTES:
        raise wrong("tools", f"{size} bytes > {MOST_TOOLS_BYTES} maximum", "send fewer tools")
    for param, tool in wheres("tools", tools):
        check_one_of(f"{param}.type", tool.type, CALLED)
        if tool.function is None:
            raise wrong(f"{param}.function", "it is required", "send it")
        check_schema(f"{param}.function.parameters", tool.function.parameters)


def _chosen(asked: _Chat) -> str | None:
    """Find the tool that has to be called; refuse a choice among tools that are not there."""
    names = [tool.function.name for tool in asked.tools or () if tool.function]
    choice = asked.tool_choice
    if choice is None or isinstance(choice, str):
        check_one_of("tool_choice", choice, _CHOICES)
        if choice == "required" and not names:
            raise wrong("tool_choice", "there are no tools to call", "send tools, or auto")
        return None
    check_one_of("tool_choice.type", choice.type, CALLED)
    if choice.function is None:
        raise wrong("tool_choice.function", "it is required", "send it")
    check_one_of("tool_choice.function.name", choice.function.name, names or ["(no tools)"])
    return choice.function.name
