"""What a request to the mlx worker asks for, checked. Pure.

What mlx-lm cannot do is refused and never ignored: half an answer that looks whole is worse than
none. Fields that are unknown here are nobody's business, and null means that nothing was said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.engines.workers.fields import ONE, Fields
from localllm.engines.workers.http import invalid

_Bias = Annotated[float, Meta(ge=-100, le=100)]
_Alternatives = Annotated[int, Meta(ge=0, le=20)]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What depends on the model that is served."""

    tools: bool
    images: bool
    vocabulary: int
    """Token numbers end below it; mlx reads memory of others when it is given a larger one."""


class ResponseFormat(msgspec.Struct):
    type: str


class Request(Fields, kw_only=True):
    """What chats and texts have in common."""

    logit_bias: dict[str, _Bias] | None = None
    response_format: ResponseFormat | None = None
    id_slot: int | None = None
    """llama.cpp's name: where to note what the request leaves in the cache."""

    @property
    def alternatives(self) -> int | None:
        """How many other tokens are to be named beside each; None if no probability is wanted."""
        return None

    def impossible(self, can: Abilities) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        if self.n not in ONE:
            yield "n: the mlx engine gives one answer to a request"
        if self.response_format is not None and self.response_format.type != "text":
            yield "response_format: the mlx engine cannot hold an answer to a schema"
        if self.grammar not in (None, "") or self.json_schema is not None:
            yield "grammar, json_schema: the mlx engine cannot hold an answer to a grammar"
        tokens = (self.logit_bias or {}).keys()
        if not all(t.isdecimal() and int(t) < can.vocabulary for t in tokens):
            yield f"logit_bias: its keys are numbers of tokens, below {can.vocabulary}"


class _ImageUrl(msgspec.Struct):
    url: str


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    image_url: _ImageUrl | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Function(msgspec.Struct):
    name: str


class _Tool(msgspec.Struct):
    function: _Function
    type: str = "function"


class Chat(Request, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1)]
    tools: list[_Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    logprobs: bool | None = None
    top_logprobs: _Alternatives | None = None

    @property
    def alternatives(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def wants_tools(self) -> bool:
        return bool(self.tools) and self.tool_choice != "none"

    def impossible(self, can: Abilities) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        yield from super().impossible(can)
        if self.wants_tools and not can.tools:
            yield "tools: this model's template knows no calls of tools"
        if self.tool_choice not in (None, "auto", "none"):
            yield "tool_choice: the mlx engine cannot make a model call a tool"
        for message in self.messages:
            if not isinstance(message.content, str):
                yield from _unreadable(message.content or (), can)


class Text(Request):
    prompt: str | list[str | int]
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None
    logprobs: _Alternatives | None = None

    @property
    def alternatives(self) -> int | None:
        return self.logprobs

    @property
    def one_prompt(self) -> str | list[int]:
        """The text, or the tokens; `impossible` has refused all else."""
        if isinstance(self.prompt, list) and isinstance(self.prompt[0], str):
            return self.prompt[0]
        return self.prompt  # type: ignore[return-value]

    def impossible(self, can: Abilities) -> Iterator[str]:
        """Name what the request asks for and cannot have, the field first."""
        yield from super().impossible(can)
        if self.echo or self.suffix or self.best_of not in ONE:
            yield "echo, suffix, best_of: the mlx engine has none of them"
        if not self.prompt:
            yield "prompt: it is empty"
        if isinstance(self.prompt, list):
            yield from _unusable(self.prompt, can)


def checked(body: dict[str, Any], kind: type[Request], can: Abilities) -> Request:
    """Read a request's body.

    Raises:
        Refusal: A field is of the wrong type, or asks for what cannot be had; it is named.
    """
    try:
        request = msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
    for words in request.impossible(can):
        raise invalid(words)
    return request


def _unreadable(parts: Sequence[_Part], can: Abilities) -> Iterator[str]:
    for part in parts:
        if part.type == "image_url" and part.image_url is not None:
            if not can.images:
                yield "messages: this model reads no images in the mlx engine"
            if not part.image_url.url.startswith("data:"):
                yield "messages: an image has to be a data: URL, the engine fetches none"
        elif part.type != "text" or part.text is None:
            yield f"messages: a part of the type {part.type} cannot be read"


def _unusable(prompt: Sequence[str | int], can: Abilities) -> Iterator[str]:
    if len(prompt) == 1 and isinstance(prompt[0], str):
        return
    if not all(isinstance(p, int) and 0 <= p < can.vocabulary for p in prompt):
        yield f"prompt: one text, or numbers of tokens below {can.vocabulary}"
