"""What a request for embeddings may ask, and its answer in the form that was asked for. Pure.

Engines differ in what they do of it, so the answer is looked at: a format that an engine does not
know is made here, and dimensions that it passes over are an error, never ignored.
"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.errors import BadRequest, EngineGone
from localllm.gateway.requests.document import (
    check_one_of,
    checked,
    parse_document,
    wheres,
    without,
    wrong,
)
from localllm.gateway.requests.fields import Count, Name, Token
from localllm.gateway.requests.private import check_private
from localllm.gateway.requests.usage import ReadUsage

MOST_INPUTS = 2048
ENCODINGS = ("float", "base64")
_FORMAT = "encoding_format"
_FLOAT_BYTES = 4


class _Request(msgspec.Struct, kw_only=True):
    input: str | Annotated[list[str | Token | list[Token]], Meta(min_length=1)]
    model: Name | None = None
    encoding_format: str | None = None
    dimensions: Count | None = None
    user: str | None = None
    embd_normalize: Annotated[int, Meta(ge=-1, le=6)] | None = None

    @property
    def inputs(self) -> list[str | list[Token]]:
        if isinstance(self.input, str):
            return [self.input]
        tokens = [item for item in self.input if isinstance(item, int)]
        if tokens:
            return [tokens]
        return [item for item in self.input if not isinstance(item, int)]


@dataclass(frozen=True, slots=True)
class EmbeddingsHead:
    """What the gateway has to know of a request for embeddings."""

    model: str | None
    """As the client named it; None leaves it to us."""

    is_base64: bool
    dimensions: int | None
    """None: as many as the model has."""

    body: bytes
    """What to send: the client's, without an `encoding_format` of null, which llama.cpp refuses."""


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int = 0
    object: str = "embedding"


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str | None = None
    usage: ReadUsage = ReadUsage()
    object: str = "list"


def check_embeddings(body: bytes) -> EmbeddingsHead:
    """Check a request before an engine sees it.

    Raises:
        BadRequest: It is no such request, or a field is wrong or beyond its bound; it is named.
    """
    document = parse_document(body)
    asked = checked(document, _Request)
    check_private(document)
    check_one_of(_FORMAT, asked.encoding_format, ENCODINGS)
    _check_inputs(asked)
    return EmbeddingsHead(
        model=asked.model,
        is_base64=asked.encoding_format == "base64",
        dimensions=asked.dimensions,
        body=without(body, [n for n, v in document.items() if n == _FORMAT and v is None]),
    )


def embeddings_answer(answer: bytes, head: EmbeddingsHead) -> bytes:
    """Give an engine's answer the form that was asked for.

    Args:
        answer: The document of an answer with status 200.

    Returns:
        The same bytes if they have it already.

    Raises:
        BadRequest: The engine's vectors do not have the dimensions that were asked for.
        EngineGone: It is no such answer.
    """
    try:
        said = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_vectors(str(error)) from error
    for vector in said.data:
        _check_dimensions(vector.embedding, head)
    is_in_form = all(isinstance(v.embedding, str) is head.is_base64 for v in said.data)
    if is_in_form and said.usage.is_whole:
        return answer
    return msgspec.json.encode(_rendered(said, head))


def _rendered(said: _Answer, head: EmbeddingsHead) -> dict[str, Any]:
    form = _as_base64 if head.is_base64 else _as_floats
    data = [
        {"object": "embedding", "index": v.index, "embedding": form(v.embedding)} for v in said.data
    ]
    model = said.model or head.model
    return {"object": "list", "data": data, "model": model, "usage": said.usage.whole}


def _check_inputs(asked: _Request) -> None:
    if not isinstance(asked.input, str):
        is_number = isinstance(asked.input[0], int)
        for param, item in wheres("input", asked.input):
            if isinstance(item, int) is not is_number:
                raise wrong(param, "texts and numbers are mixed", "send texts, or lists of tokens")
    if len(asked.inputs) > MOST_INPUTS:
        why = f"{len(asked.inputs)} texts > {MOST_INPUTS} maximum"
        raise wrong("input", why, "send fewer at once")
    for number, text in enumerate(asked.inputs):
        if not text:
            param = "input" if isinstance(asked.input, str) else f"input[{number}]"
            raise wrong(param, "it is empty", "leave it out")


def _check_dimensions(vector: str | list[float], head: EmbeddingsHead) -> None:
    has = len(base64.b64decode(vector)) // _FLOAT_BYTES if isinstance(vector, str) else len(vector)
    if head.dimensions not in (None, has):
        raise BadRequest(
            f"This model makes no embeddings of {head.dimensions} dimensions.",
            why=f"its have {has}, and it cannot shorten them",
            fix=f"leave dimensions out, or send {has}",
            param="dimensions",
        )


def _as_base64(vector: str | list[float]) -> str:
    """Write numbers as OpenAI does: 4 bytes each, the lowest first."""
    if isinstance(vector, str):
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _as_floats(vector: str | list[float]) -> list[float]:
    if not isinstance(vector, str):
        return vector
    data = base64.b64decode(vector)
    return list(struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data))


def _no_vectors(why: str) -> EngineGone:
    return EngineGone(
        "The engine's answer is not one of embeddings.",
        why=why,
        fix="try again; localllm logs shows the engine's own words",
    )
