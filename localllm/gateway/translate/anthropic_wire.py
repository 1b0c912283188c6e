"""What a client of Anthropic's Messages API sends, checked; its blocks are in anthropic_inputs.py. Pure.

Fields that are unknown here are nobody's business, and null means that nothing was said.

Source: message_create_params.py in anthropic-sdk-python, in `types` and in `types/beta`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from localllm.errors import BadRequest
from localllm.gateway.requests.document import parse_document

Content = str | list[dict[str, Any]]
_T = TypeVar("_T")

_MOST_STOPS = 16
_MOST_STOP_BYTES = 256


class Thinking(msgspec.Struct):
    type: Literal["enabled", "adaptive", "between_tools", "disabled"]
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None


class Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: Format | None = None


class ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Turn(msgspec.Struct):
    """One message; Claude Code sends some with the role `system`."""

    role: Literal["user", "assistant", "system"]
    content: Content | None = None
    """Those of the system alone may lack it: they may only set how the next turn is made."""

    clear_at: Literal["next_user_message", "never"] | None = None


class NoThreads(BadRequest):
    """The client left the earlier messages out. Anthropic's own sends them by itself at this code.

    Source: lib/threads/_thread_state.py in anthropic-sdk-python 2.14.
    """

    own_code = "thread_unsupported_request"


class Thread(msgspec.Struct):
    """A conversation that Anthropic's servers keep."""

    type: str | None = None


class Request(msgspec.Struct, kw_only=True):
    """The body of a request."""

    messages: Annotated[list[Turn], Meta(min_length=1)]
    model: str | None = None
    system: Content | None = None
    max_tokens: Annotated[int, Meta(ge=0)] | None = None
    """0 asks to read the prompt into the cache, and to say nothing."""

    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """Anthropic allows 1 at most; local models are asked for more."""

    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: (
        Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=_MOST_STOPS)] | None
    ) = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Format | None = None
    """Where the format was before `output_config`."""

    thread: Thread | None = None
    compaction: dict[str, Any] | None = None
    """Asks for a summary that Anthropic's servers sign."""

    @property
    def format(self) -> Format | None:
        return (self.output_config and self.output_config.format) or self.output_format


_PLACE = re.compile(r" - at `\$(?P<place>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`$")


def parse_request(body: bytes) -> tuple[Request, dict[str, Any]]:
    """Read a request; also all of its members, known and not.

    Raises:
        BadRequest: It is none, or a value is wrong.
    """
    members = parse_document(body)
    request = convert(members, Request, "")
    _check(request)
    return request, members


def _check(request: Request) -> None:
    """Refuse what no type tells.

    Without the turns that a thread stands for, or with a summary that is none, an answer would
    only look right.
    """
    for place, turn in enumerate(request.messages):
        if turn.content is None and turn.role != "system":
            raise wrong(f"messages[{place}].content", "the field is required")
    for place, stop in enumerate(request.stop_sequences or ()):
        if len(stop.encode()) > _MOST_STOP_BYTES:
            raise wrong(f"stop_sequences[{place}]", f"it is over {_MOST_STOP_BYTES} bytes")
    if request.thread is not None and request.thread.type == "continue":
        raise NoThreads(
            "thread: no conversation is kept here.",
            why="thread.type is continue, which leaves the earlier messages to the server",
            fix="send all of its messages, without thread",
            param="thread",
        )
    if request.compaction is not None:
        raise wrong("compaction", "nothing here signs a summary, ask for one in a message")


def convert(value: object, kind: type[_T], at: str) -> _T:
    """Read a part of a request.

    Args:
        at: Where it is, as in `messages[0].content[1]`; empty for the whole.

    Raises:
        BadRequest: A value is wrong; it is named.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _named(str(error), at) from error


def wrong(param: str, why: str) -> BadRequest:
    """Make the error for a wrong value."""
    return BadRequest(
        f"{param or 'The body'}: {why}.",
        why="the value is not what the Messages API takes there",
        fix="correct the field",
        param=param or None,
    )


def _named(message: str, at: str) -> BadRequest:
    """Turn msgspec's sentence into ours: where it is, and what is wrong there."""
    found = _PLACE.search(message)
    place = at + (found["place"] if found else "")
    why = message[: found.start()] if found else message
    if missing := _MISSING.search(why):
        place, why = f"{place}.{missing['field']}", "the field is required"
    return wrong(place.removeprefix("."), why)
