"""The items of a conversation as chat messages. Pure.

Source: response_input_item_param.py in openai-python 3.57. Codex leaves `type` out of items of its
history, and `content` of reasoning is null there (openai/codex issues 12230, 11834).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from localllm.gateway.translate.responses_body import Object, read_as, wrong
from localllm.gateway.translate.responses_content import Part, chat_parts, text_of, unsealed
from localllm.gateway.translate.responses_messages import Messages
from localllm.gateway.translate.responses_store import Earlier
from localllm.gateway.translate.responses_tools import Toolbox

_OUTPUT = "_output"
_OF_NO_CALL = frozenset({"type", "id", "call_id", "status"})


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: object = None


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class _CustomCall(msgspec.Struct):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class _Output(msgspec.Struct):
    call_id: str
    output: object = None


class _Reasoning(msgspec.Struct):
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = None


class _Reference(msgspec.Struct):
    id: str


class _Tools(msgspec.Struct):
    tools: list[Object]


def kind_of(item: Object) -> str:
    """Tell what an item is, which it may leave to be seen; empty for what cannot be told."""
    kind = item.get("type")
    if isinstance(kind, str):
        return kind
    if "role" in item:
        return "message"
    if "call_id" in item:
        return "function_call_output" if "output" in item else "function_call"
    return "item_reference" if item.keys() == {"id"} else ""


def items_of(asked: str | list[object] | None, earlier: Earlier) -> list[Object]:
    """Read the new items of a request, with what they refer to in its place.

    Raises:
        BadRequest: One is no object, or refers to an item that is not kept.
    """
    if asked is None:
        return []
    if isinstance(asked, str):
        return [{"type": "message", "role": "user", "content": asked}]
    return [_item(item, f"input[{n}]", earlier) for n, item in enumerate(asked)]


def _item(given: object, where: str, earlier: Earlier) -> Object:
    item = read_as(given, Object, where)
    if kind_of(item) != "item_reference":
        return item
    name = read_as(item, _Reference, where).id
    found = earlier.item(name)
    if found is None:
        raise wrong(
            f"{where}.id",
            f"Item with id '{name}' not found: items are kept in memory only, for some time, and "
            "none of a response with store: false",
            "send the item itself, or leave it out",
        )
    return found


def tools_among(items: list[Object], where: str) -> dict[str, list[Object]]:
    """Find tools that came in the middle of a conversation, by the names of their fields.

    Raises:
        BadRequest: They are no list of objects.
    """
    return {
        f"{where}[{n}].tools": read_as(item, _Tools, f"{where}[{n}]").tools
        for n, item in enumerate(items)
        if kind_of(item) == "additional_tools"
    }


def add_items(messages: Messages, items: list[Object], tools: Toolbox, where: str) -> None:
    """Translate items into messages; unknown ones never fail a request.

    Raises:
        BadRequest: A known one is wrong.
    """
    paired = _paired(items)
    for n, item in enumerate(items):
        _add(messages, item, tools, f"{where}[{n}]", is_paired=str(item.get("call_id")) in paired)


def _paired(items: list[Object]) -> set[str]:
    """Find the calls that have an answer, by their ids."""
    named = [(kind_of(item).endswith(_OUTPUT), item.get("call_id")) for item in items]
    called, answered = (
        {name for is_answer, name in named if is_answer is wanted and isinstance(name, str)}
        for wanted in (False, True)
    )
    return called & answered


def _add(messages: Messages, item: Object, tools: Toolbox, where: str, *, is_paired: bool) -> None:
    match kind_of(item):
        case "message":
            _add_message(messages, read_as(item, _Message, where), where)
        case "reasoning":
            if thought := _thought(read_as(item, _Reasoning, where)):
                messages.think(thought)
        case "function_call":
            call = read_as(item, _Call, where)
            name = tools.chat_name(call.name, call.namespace)
            messages.call(call.call_id, name, call.arguments)
        case "custom_tool_call":
            custom = read_as(item, _CustomCall, where)
            arguments = msgspec.json.encode({"input": custom.input}).decode()
            name = tools.chat_name(custom.name, custom.namespace)
            messages.call(custom.call_id, name, arguments)
        case "function_call_output" | "custom_tool_call_output":
            _add_output(messages, read_as(item, _Output, where), where)
        case other if is_paired:
            _add_unknown(messages, item, other)
        case _:
            pass


def _add_message(messages: Messages, message: _Message, where: str) -> None:
    parts = chat_parts(message.content, f"{where}.content")
    match message.role:
        case "user":
            messages.ask(parts)
        case "assistant":
            if text := text_of(parts):
                messages.say(text)
        case _:
            messages.instruct(text_of(parts))


def _thought(reasoning: _Reasoning) -> str:
    """Take the thoughts themselves where they are, else what is told of them."""
    return (
        _texts(reasoning.content)
        or unsealed(reasoning.encrypted_content)
        or _texts(reasoning.summary)
    )


def _texts(parts: Iterable[Part] | None) -> str:
    return "\n\n".join(part.text for part in parts or () if part.text)


def _add_output(messages: Messages, output: _Output, where: str) -> None:
    value = output.output
    if isinstance(value, dict | bool | int | float):
        value = msgspec.json.encode(value).decode()
    messages.answer(output.call_id, chat_parts(value, f"{where}.output"))


def _add_unknown(messages: Messages, item: Object, kind: str) -> None:
    """Keep a call of a hosted tool, as `local_shell_call`, and its answer."""
    call_id = str(item["call_id"])
    if kind.endswith(_OUTPUT):
        rest = item.get("output", item)
        text = rest if isinstance(rest, str) else msgspec.json.encode(rest).decode()
        messages.answer(call_id, [{"type": "text", "text": text}])
        return
    payload = {name: value for name, value in item.items() if name not in _OF_NO_CALL}
    name = kind.removesuffix("_call") or "tool"
    messages.call(call_id, name, msgspec.json.encode(payload).decode())
