"""What a request for a response holds, and how a wrong field of it is named. Pure.

Source: response_create_params.py in openai-python 3.57.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeVar

import msgspec

from localllm.errors import BadRequest
from localllm.gateway.requests.document import parse_document

T = TypeVar("T")

Object = dict[str, object]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

_MISSING = re.compile(r"missing required field `(\w+)`")


class TextFormat(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Object | None = None
    strict: bool | None = None


class TextConfig(msgspec.Struct):
    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: Effort | None = None
    summary: str | None = None


class Request(msgspec.Struct):
    """The fields that the API knows; any other is the engine's, see `engines_own`."""

    model: str | None = None
    input: str | list[object] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: object = None
    prompt: object = None
    background: bool | None = None
    store: bool | None = None
    include: list[str] | None = None
    tools: list[Object] | None = None
    tool_choice: Literal["auto", "none", "required"] | Object | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    user: str | None = None
    stream: bool | None = None
    stream_options: Object | None = None


_NEVER_SENT = frozenset(Request.__struct_fields__) | {
    "client_metadata",
    "context_management",
    "generate",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "moderation",
    "n",
    "prompt_cache_options",
    "prompt_cache_retention",
    "response_format",
}
"""Beside the API's own, fields of OpenAI's service, and those by which a chat completion would be
another one than the request asks for."""


_CHATS = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "response_format": "text.format",
}


def parse_request(body: bytes) -> tuple[Request, Object]:
    """Read a request, and what else it holds for the engine, as `top_k` or `seed`.

    Raises:
        BadRequest: It is no JSON object, or a field is wrong.
    """
    members: Object = parse_document(body)
    _refuse_a_chats(members)
    extra = {name: value for name, value in members.items() if name not in _NEVER_SENT}
    return read_as(members, Request, ""), extra


def _refuse_a_chats(members: Object) -> None:
    """Refuse what a chat completion says in this way: it would be ignored, and nobody told."""
    for name, ours in _CHATS.items():
        if members.get(name) is not None:
            raise wrong(name, "a chat completion has it, a response has not", f"send {ours}")
    if members.get("n") not in (None, 1):
        raise wrong("n", "a response is one answer", "leave it out, or ask several times")


def read_as(value: object, kind: type[T], where: str) -> T:
    """Check a value.

    Args:
        where: The field's name, as `input[3]`; empty for the whole body.

    Raises:
        BadRequest: It is of another kind; `param` says which field of it.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        why, _, path = str(error).partition(" - at `$")
        missing = _MISSING.search(why)
        path += f".{missing.group(1)}" if missing else ""
        raise wrong(f"{where}{path.replace('`', '')}".lstrip("."), why) from error


def wrong(param: str, why: str, fix: str = "correct the field") -> BadRequest:
    """Say which field is wrong; one without a name is the body."""
    return BadRequest(f"{param or 'The body'} is wrong.", why=why, fix=fix, param=param or None)
