"""The messages of a chat: who speaks, in which parts, and what images come along. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from localllm.gateway.requests.document import check_one_of, wheres, wrong
from localllm.gateway.requests.images import MOST_IMAGES, check_image

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
CALLED = ("function",)
"""The types of tools that engines know."""

_PARTS = ("text", "image_url")
"""No engine here is given sound, films or files: their parts would be fetched and read unbounded."""

_MAY_BE_EMPTY = "assistant"
"""The role whose messages may have no content, as those that call tools."""

FunctionName = Annotated[str, Meta(min_length=1, max_length=256)]


class _ImageUrl(msgspec.Struct):
    url: str
    detail: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: _ImageUrl | None = None


class _Called(msgspec.Struct):
    name: FunctionName
    arguments: str
    """JSON as a text."""


class _Call(msgspec.Struct):
    type: str
    function: _Called | None = None
    id: str | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None

    @property
    def parts(self) -> list[_Part]:
        return self.content if isinstance(self.content, list) else []


def check_messages(messages: list[Message], hosts: frozenset[str]) -> None:
    """Check each, and that they have not too many images together.

    Args:
        hosts: From which images may be fetched.

    Raises:
        BadRequest: One is not what it may be.
    """
    images = 0
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        _check_message(where, message)
        for param, part in wheres(f"{where}.content", message.parts):
            images += part.type == "image_url"
            if images > MOST_IMAGES:
                raise wrong(param, f"more than {MOST_IMAGES} images", "leave older ones out")
            _check_part(param, part, hosts)


def _check_message(where: str, message: Message) -> None:
    check_one_of(f"{where}.role", message.role, ROLES)
    if message.content is None and message.role != _MAY_BE_EMPTY:
        raise wrong(f"{where}.content", "it is required: a text, or a list of parts", "send it")
    if message.role == "tool" and not message.tool_call_id:
        raise wrong(f"{where}.tool_call_id", "it says whose result this is", "send the call's id")
    for param, call in wheres(f"{where}.tool_calls", message.tool_calls or []):
        check_one_of(f"{param}.type", call.type, CALLED)
        if call.function is None:
            raise wrong(f"{param}.function", "it is required", "send it")


def _check_part(where: str, part: _Part, hosts: frozenset[str]) -> None:
    check_one_of(f"{where}.type", part.type, _PARTS)
    if part.type == "text" and part.text is None:
        raise wrong(f"{where}.text", "it is required", "send it")
    if part.type == "image_url":
        if part.image_url is None:
            raise wrong(f"{where}.image_url", "it is required", "send it")
        check_image(f"{where}.image_url.url", part.image_url.url, hosts)
