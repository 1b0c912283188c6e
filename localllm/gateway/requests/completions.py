"""What a completion may ask, and what the gateway has to know of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from localllm.gateway.requests.bounds import Limits, check_generation
from localllm.gateway.requests.document import checked, parse_document, without, wrong
from localllm.gateway.requests.fields import Count, Generation, Probabilities, Token

MOST_PROMPTS = 128
"""Times the answers to each: every one is a task of its own in the engine."""

_Prompts = Annotated[list[str | Token | list[Token]], Meta(min_length=1)]
"""Texts, or the tokens of one text, or those of several. llama.cpp's objects are none: they may
hold images past every bound."""


class Completion(Generation, kw_only=True):
    prompt: str | _Prompts
    suffix: str | None = None
    echo: bool | None = None
    best_of: Count | None = None
    logprobs: Probabilities | None = None

    @property
    def prompts(self) -> int:
        """How many texts are to be completed."""
        is_one = isinstance(self.prompt, str) or isinstance(self.prompt[0], int)
        return 1 if is_one else len(self.prompt)

    @property
    def one_text(self) -> str | None:
        """The text; None if it is not one, or tokens."""
        first = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return first if isinstance(first, str) and self.prompts == 1 else None


@dataclass(frozen=True, slots=True)
class CompletionHead:
    """What the gateway has to know of a completion."""

    model: str | None
    """As the client named it; None leaves it to us."""

    stream: bool
    include_usage: bool
    """Whether the client wants usage at the end of its stream."""

    is_infill: bool
    """A text is to be put between prompt and suffix, see infill.py."""

    body: bytes
    """What to send: the client's, without fields that say nothing and that some engines refuse."""


def check_completion(body: bytes, limits: Limits) -> CompletionHead:
    """Check a completion before an engine sees it.

    Raises:
        BadRequest: It is no such request, or a field is wrong or beyond its bound; it is named.
    """
    document = parse_document(body)
    asked = checked(document, Completion)
    check_generation(document, asked, limits)
    _check_prompts(asked)
    if asked.suffix:
        _check_infill(asked)
    return CompletionHead(
        model=asked.model,
        stream=bool(asked.stream),
        include_usage=asked.wants_usage,
        is_infill=bool(asked.suffix),
        body=without(body, set(_idle(document))),
    )


def _idle(document: Mapping[str, Any]) -> Iterator[str]:
    """Name the fields that older llama.cpp refuses to find at all, where they say nothing."""
    if "suffix" in document and not document["suffix"]:
        yield "suffix"
    if "best_of" in document:  # which is 1, or has been refused
        yield "best_of"


def _check_prompts(asked: Completion) -> None:
    answers = asked.prompts * asked.answers
    if answers > MOST_PROMPTS:
        why = f"{asked.prompts} texts with {asked.answers} answers each > {MOST_PROMPTS} maximum"
        raise wrong("prompt", why, "send fewer at once")
    if asked.response_format is not None and asked.response_format.type != "text":
        raise wrong("response_format", "texts have none, chats do", "ask for a chat completion")
    if asked.echo:
        raise wrong("echo", "no engine here repeats the prompt", "put it before the answer")
    if asked.best_of not in (None, 1):
        raise wrong("best_of", "no engine here chooses among answers", "leave it out, or send 1")


def _check_infill(asked: Completion) -> None:
    """Refuse what llama.cpp cannot do while it fills in a text."""
    if asked.one_text is None:
        raise wrong("prompt", "with a suffix it has to be one text", "send the text before the gap")
    if asked.answers != 1:
        raise wrong("n", "with a suffix there is one answer", "leave it out, or ask several times")
