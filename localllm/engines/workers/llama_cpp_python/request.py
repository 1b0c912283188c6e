"""What a request to the llama-cpp-python worker asks for, checked. Pure.

What the binding cannot do is refused and never ignored: half an answer that looks whole is worse
than none. Fields that are unknown here are nobody's business, and null means that nothing was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from localllm.engines.workers.fields import ONE, Fields
from localllm.engines.workers.http import invalid

_FORMATS = ("text", "json_object", "json_schema")
_ANY_OBJECT: dict[str, Any] = {"type": "object"}


class _NamedSchema(msgspec.Struct):
    schema: dict[str, Any] | None = None


class _Format(msgspec.Struct):
    type: str
    json_schema: _NamedSchema | None = None
    schema: dict[str, Any] | None = None
    """Where llama.cpp's server looks for it beside OpenAI's place."""

    @property
    def wanted(self) -> dict[str, Any] | None:
        """What the answer is to be held to; None: nothing, or no schema was given."""
        named = None if self.json_schema is None else self.json_schema.schema
        given = named if named is not None else self.schema
        if self.type == "json_object":
            return _ANY_OBJECT if given is None else given
        return given if self.type == "json_schema" else None


class Request(Fields, kw_only=True):
    """What chats and texts have in common."""

    response_format: _Format | None = None
    grammar: str | None = None
    json_schema: dict[str, Any] | None = None
    logprobs: bool | int | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema that the answer is to be held to."""
        if self.json_schema is not None or self.response_format is None:
            return self.json_schema
        return self.response_format.wanted

    def impossible(self) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        asked = self.response_format
        if self.n not in ONE:
            yield "n: this engine gives one answer to a request"
        if self.logprobs is not None and self.logprobs is not False:
            yield "logprobs: this engine keeps no probabilities"
        if self.logit_bias:
            yield "logit_bias: this engine cannot prefer tokens"
        if asked is not None and asked.type not in _FORMATS:
            yield f"response_format: its type is one of {', '.join(_FORMATS)}"
        if asked is not None and asked.type == "json_schema" and asked.wanted is None:
            yield "response_format: json_schema.schema is missing"
        if self.grammar and self.schema is not None:
            yield "grammar: it and a schema cannot both be kept"


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct, omit_defaults=True):
    """All that a chat template may look at."""

    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """Its parts as one text, since many templates know no parts, and most no null."""
        if isinstance(self.content, list):
            return "\n".join(part.text or "" for part in self.content)
        return self.content or ""


class Chat(Request, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None

    @property
    def conversation(self) -> list[dict[str, Any]]:
        """The messages as a template reads them."""
        return [{**msgspec.to_builtins(m), "content": m.text} for m in self.messages]

    def impossible(self) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        yield from super().impossible()
        if self.functions or (self.tools and self.tool_choice != "none"):
            yield "tools: this engine cannot read calls of tools out of an answer"
        for number, message in enumerate(self.messages):
            for part in message.content if isinstance(message.content, list) else ():
                if part.type != "text" or part.text is None:
                    yield f"messages[{number}].content: it reads text, and no {part.type}"


class Text(Request):
    prompt: str | list[str | int]
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None

    @property
    def one_prompt(self) -> str | list[int]:
        """The text, or the tokens; `impossible` has refused all else."""
        tokens = [p for p in self.prompt if isinstance(p, int)]
        return tokens or "".join(p for p in self.prompt if isinstance(p, str))

    def impossible(self) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        yield from super().impossible()
        if self.echo or self.suffix or self.best_of not in ONE:
            yield "echo, suffix, best_of: this engine has none of them"
        if not self.prompt:
            yield "prompt: it is empty"
        tokens = [p for p in self.prompt if isinstance(p, int)]
        if isinstance(self.prompt, list) and len(tokens) < len(self.prompt) != 1:
            yield "prompt: one text, or the numbers of its tokens"


_Kind = TypeVar("_Kind", bound=Request)


def checked(body: dict[str, Any], kind: type[_Kind]) -> _Kind:
    """Read a request's body.

    Raises:
        Refusal: A field is of the wrong type, or asks for what cannot be had; it is named.
    """
    try:
        request = msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    for words in request.impossible():
        raise invalid(words)
    return request
