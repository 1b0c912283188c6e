"""The tools of a response as functions of a chat completion, and whose a function is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from localllm.gateway.translate.responses_body import Object, read_as, wrong

_NAME_LENGTH = 64
"""OpenAI's bound, and that of more than one engine's grammar."""

_NOT_OF_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_NO_PARAMETERS: Object = {"type": "object", "properties": {}}


class _Named(msgspec.Struct):
    name: str
    description: str | None = None


class _Function(_Named):
    parameters: Object | None = None
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: str = "text"
    syntax: str | None = None
    definition: str | None = None


class _Custom(_Named):
    format: _Format | None = None


class _Namespace(_Named):
    tools: list[Object] = []


class _Typed(msgspec.Struct):
    type: str


class _Allowed(msgspec.Struct):
    tools: list[Object]
    mode: Literal["auto", "required"] = "auto"


class _Chosen(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What a function is to the client."""

    name: str
    namespace: str | None = None
    is_custom: bool = False
    """It takes text, not JSON."""

    @property
    def names(self) -> Object:
        """How an item names it. Codex refuses a namespaced call under any other name."""
        own: Object = {} if self.namespace is None else {"namespace": self.namespace}
        return own | {"name": self.name}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The functions of one request.

    Args:
        functions: As a chat completion has them, by their names there.
        origins: Likewise.
    """

    functions: Mapping[str, Object] = field(default_factory=dict)
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def chat_name(self, name: str, namespace: str | None) -> str:
        """Say under which name the model knows a tool, or would if it were there."""
        for chat_name, origin in self.origins.items():
            if (origin.name, origin.namespace) == (name, namespace):
                return chat_name
        return _flat(name, namespace)

    def origin(self, called: str) -> Origin:
        """Say what the model has called.

        Small models leave a namespace out, or write it with a dot: what can mean but one tool
        means that.
        """
        if called in self.origins:
            return self.origins[called]
        meant = [o for o in self.origins.values() if called in _spellings(o)]
        return meant[0] if len(meant) == 1 else Origin(called)

    def only(self, names: set[str]) -> Toolbox:
        return Toolbox({n: f for n, f in self.functions.items() if n in names}, self.origins)


def _flat(name: str, namespace: str | None) -> str:
    whole = name if namespace is None else f"{namespace.rstrip('_')}__{name}"
    return _NOT_OF_A_NAME.sub("_", whole)[:_NAME_LENGTH]


def _spellings(origin: Origin) -> tuple[str, ...]:
    return origin.name, f"{origin.namespace}.{origin.name}", f"{origin.namespace}{origin.name}"


def toolbox_of(given: Mapping[str, list[Object]]) -> Toolbox:
    """Make functions of tools; those that only a hosted model has are left out.

    Args:
        given: By the names of the fields that hold them.

    Raises:
        BadRequest: A tool is wrong.
    """
    functions: dict[str, Object] = {}
    origins: dict[str, Origin] = {}
    for where, tools in given.items():
        for origin, function in _functions(tools, where, None):
            name = _unused(_flat(origin.name, origin.namespace), functions)
            functions[name] = {"type": "function", "function": {"name": name} | function}
            origins[name] = origin
    return Toolbox(functions, origins)


def _functions(
    tools: list[Object], where: str, namespace: str | None
) -> Iterator[tuple[Origin, Object]]:
    for n, tool in enumerate(tools):
        here = f"{where}[{n}]"
        match read_as(tool, _Typed, here).type:
            case "function":
                function = read_as(tool, _Function, here)
                yield Origin(function.name, namespace), _function(function)
            case "custom":
                custom = read_as(tool, _Custom, here)
                yield Origin(custom.name, namespace, is_custom=True), _text_function(custom)
            case "namespace":
                inner = read_as(tool, _Namespace, here)
                yield from _functions(inner.tools, f"{here}.tools", inner.name)
            case _:
                pass


def _unused(name: str, taken: Mapping[str, object]) -> str:
    n, unused = 1, name
    while unused in taken:
        n += 1
        unused = f"{name[: _NAME_LENGTH - 1 - len(str(n))]}_{n}"
    return unused


def _function(tool: _Function) -> Object:
    function: Object = {"parameters": tool.parameters or _NO_PARAMETERS}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _text_function(tool: _Custom) -> Object:
    """Make a function with one field; responses_input.py reads it back."""
    says = [tool.description] if tool.description else []
    if tool.format is not None and tool.format.definition:
        syntax = tool.format.syntax or "formal"
        says.append(f"`input` must match this {syntax} grammar:\n{tool.format.definition}")
    text = {"type": "string", "description": "All of the tool's input, as plain text."}
    described: Object = {"description": "\n\n".join(says)} if says else {}
    return described | {
        "parameters": {
            "type": "object",
            "properties": {"input": text},
            "required": ["input"],
            "additionalProperties": False,
        },
    }


def chosen(toolbox: Toolbox, choice: str | Object | None) -> tuple[Toolbox, str | None]:
    """Say which tools the model sees, and whether it may, must or must not call one.

    A choice of one tool, or of several, leaves the others out, since llama.cpp knows no names
    there.

    Raises:
        BadRequest: It chooses what is not there.
    """
    if isinstance(choice, dict):
        return _named(toolbox, choice)
    if not toolbox.functions:
        if choice == "required":
            raise wrong("tool_choice", "it is required to call a tool, and there is none to call")
        return toolbox, None
    return toolbox, choice


def _named(toolbox: Toolbox, choice: Object) -> tuple[Toolbox, str]:
    if read_as(choice, _Typed, "tool_choice").type == "allowed_tools":
        allowed = read_as(choice, _Allowed, "tool_choice")
        found = [
            _find(toolbox, tool, f"tool_choice.tools[{n}]", is_needed=False)
            for n, tool in enumerate(allowed.tools)
        ]
        names, mode = {name for name in found if name is not None}, str(allowed.mode)
        if not names:
            raise wrong("tool_choice.tools", "none of them is among the tools")
        return toolbox.only(names), mode
    name = _find(toolbox, choice, "tool_choice", is_needed=True)
    return toolbox.only({name} if name else set()), "required"


def _find(toolbox: Toolbox, choice: Object, where: str, *, is_needed: bool) -> str | None:
    """Find a chosen tool's name; None for one that no local model has, unless it is needed."""
    tool = read_as(choice, _Chosen, where)
    if tool.type not in ("function", "custom"):
        if is_needed:
            raise wrong(f"{where}.type", f"no local model has the tool {tool.type}")
        return None
    for chat_name, origin in toolbox.origins.items():
        same_namespace = tool.namespace is None or tool.namespace == origin.namespace
        if origin.name == tool.name and same_namespace:
            return chat_name
    raise wrong(f"{where}.name", f"there is no tool {tool.name!r} among the tools")
