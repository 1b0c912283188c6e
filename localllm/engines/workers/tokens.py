"""`/tokenize` and `/detokenize` in the words of llama.cpp's server, for engines that are libraries. Pure.

Source: llama.cpp, tools/server/README.md.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from localllm.engines.workers.http import invalid

_TOKENIZE, _DETOKENIZE = "/tokenize", "/detokenize"
TOKEN_PATHS = frozenset({_TOKENIZE, _DETOKENIZE})
TEMPLATE_PATH = "/apply-template"
"""What a chat is to the model as one text; a template may have begun it as prompts begin."""


class Tokenizer(Protocol):
    """What a worker's model has to offer, to any thread."""

    @property
    def vocabulary(self) -> int:
        """Token numbers end below it."""
        ...

    def tokens_of(self, text: str, *, add_special: bool) -> list[int]:
        """Cut a text; markup in it is taken for the tokens that it stands for.

        Args:
            add_special: Begin and end it as the model's prompts do, unless it begins so already.
        """
        ...

    def text_of(self, tokens: list[int]) -> str:
        """Join tokens to text, markup too."""
        ...


class _Text(msgspec.Struct):
    content: str
    add_special: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None


class _Tokens(msgspec.Struct):
    tokens: list[int]


def tokens_document(path: str, body: dict[str, Any], model: Tokenizer) -> dict[str, Any]:
    """Answer a request to one of the two paths.

    Raises:
        Refusal: A field is of the wrong type, or asks for what cannot be had; it is named.
    """
    if path == _TOKENIZE:
        text = _checked(body, _Text)
        if text.parse_special is False or text.with_pieces:
            raise invalid("parse_special, with_pieces: this engine has none of them")
        return {"tokens": model.tokens_of(text.content, add_special=bool(text.add_special))}
    tokens, end = _checked(body, _Tokens).tokens, model.vocabulary
    if not all(0 <= token < end for token in tokens):
        raise invalid(f"tokens: the numbers of tokens end below {end}")
    return {"content": model.text_of(tokens)}


_Kind = TypeVar("_Kind")


def _checked(body: dict[str, Any], kind: type[_Kind]) -> _Kind:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error
