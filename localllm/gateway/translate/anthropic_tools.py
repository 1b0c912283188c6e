"""Anthropic's tools, the choice among them, and the ids of their calls, in chat completions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.gateway.translate.anthropic_wire import ToolChoice, convert, wrong

_PREFIX = "toolu_"
_OURS = (None, "custom")


class _Kind(msgspec.Struct):
    type: str | None = None
    name: str | None = None
    input_schema: object = None
    defer_loading: bool = False
    """Not to be shown before a search for tools has found it."""

    @property
    def is_servers(self) -> bool:
        """Whether Anthropic's servers or the client's screen have it, and its schema with it."""
        return self.type not in _OURS and self.input_schema is None


class _Tool(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    input_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


def id_for_client(id_: str) -> str:
    """Make an engine's id one of Anthropic's, so that `id_for_engine` finds it again.

    Some templates want the id as the engine made it: Mistral's take 9 letters and nothing else.
    """
    return _PREFIX + id_.removeprefix(_PREFIX)


def id_for_engine(id_: str) -> str:
    """Undo `id_for_client`; an id that another server made has lost its prefix, which is no harm."""
    return id_.removeprefix(_PREFIX) or id_


def found_tools(messages: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Name the tools that searches have found: a `tool_reference` in a result stands for each."""
    blocks = [block for turn in messages for block in _blocks(turn)]
    results = [block for outer in blocks for block in _blocks(outer)]
    found = (b for b in (*blocks, *results) if b.get("type") == "tool_reference")
    return frozenset(str(reference.get("tool_name")) for reference in found)


def _blocks(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = holder.get("content")
    return [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []


def chat_tools(
    raw: Sequence[dict[str, Any]], choice: ToolChoice | None, found: frozenset[str] = frozenset()
) -> dict[str, object]:
    """Translate tools and the choice among them, as members of a chat completion.

    A tool that has no schema of its own is left out: no local model knows it. So is one that waits
    to be found.

    Args:
        found: Tools that searches have found.

    Raises:
        BadRequest: A tool is wrong, or the chosen one is not there.
    """
    kinds = [convert(tool, _Kind, f"tools[{place}]") for place, tool in enumerate(raw)]
    chosen_by_name = frozenset({choice.name} if choice and choice.name else ())
    shown = [
        not kind.is_servers and (not kind.defer_loading or kind.name in found | chosen_by_name)
        for kind in kinds
    ]
    tools = [
        convert(tool, _Tool, f"tools[{place}]")
        for place, (tool, is_shown) in enumerate(zip(raw, shown, strict=True))
        if is_shown
    ]
    left_out = {kind.name for kind in kinds if kind.is_servers}
    if choice is None or (choice.type == "tool" and choice.name in left_out):
        return {"tools": [_function(tool) for tool in tools]} if tools else {}
    wanted = _wanted(tools, choice)
    if not wanted:
        return {}
    chosen: dict[str, object] = {"tools": [_function(t) for t in wanted], **_choice(choice)}
    if choice.disable_parallel_tool_use:
        chosen["parallel_tool_calls"] = False
    return chosen


def _wanted(tools: Sequence[_Tool], choice: ToolChoice) -> Sequence[_Tool]:
    if choice.type != "tool":
        return tools
    named = [tool for tool in tools if tool.name == choice.name]
    if choice.name is None:
        raise wrong("tool_choice.name", "the field is required")
    if not named:
        raise wrong("tool_choice.name", f"there is no tool '{choice.name}'")
    return named


def _choice(choice: ToolChoice) -> dict[str, object]:
    """Say the choice. One tool alone that has to be called is the one that was named.

    llama.cpp takes a choice that is an object for `auto`, and says nothing (llama.cpp#26535).
    """
    words = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}
    return {"tool_choice": words[choice.type]}


def _function(tool: _Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
