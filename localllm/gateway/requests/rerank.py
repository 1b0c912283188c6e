"""What a request to rank documents may ask, and its answer: sorted, cut and complete. Pure.

The API is Jina's and Cohere's. Engines know documents as texts alone, and some return them all, so
the rest is done here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from localllm.errors import EngineGone
from localllm.gateway.members import with_members
from localllm.gateway.requests.document import checked, parse_document, wrong
from localllm.gateway.requests.fields import Count, Name
from localllm.gateway.requests.private import check_private
from localllm.gateway.requests.usage import ReadUsage

MOST_DOCUMENTS = 2048


class _Document(msgspec.Struct):
    text: str


_Documents = Annotated[list[str | _Document], Meta(min_length=1, max_length=MOST_DOCUMENTS)]


class _Request(msgspec.Struct, kw_only=True):
    query: Annotated[str, Meta(min_length=1)]
    documents: _Documents
    model: Name | None = None
    top_n: Count | None = None
    return_documents: bool | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(d if isinstance(d, str) else d.text for d in self.documents)


@dataclass(frozen=True, slots=True)
class RerankHead:
    """What the gateway has to know of a request to rank documents."""

    model: str | None
    """As the client named it; None leaves it to us."""

    texts: tuple[str, ...]
    top_n: int
    return_documents: bool
    body: bytes
    """What to send: the client's, with its documents as texts."""


class _Score(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None
    """Another name for it."""

    @property
    def value(self) -> float:
        found = self.score if self.relevance_score is None else self.relevance_score
        return -math.inf if found is None else found


class _Answer(msgspec.Struct):
    results: list[_Score]
    model: str | None = None
    usage: ReadUsage = ReadUsage()


def check_rerank(body: bytes) -> RerankHead:
    """Check a request before an engine sees it.

    Raises:
        BadRequest: It is no such request, or a field is wrong or beyond its bound; it is named.
    """
    document = parse_document(body)
    asked = checked(document, _Request)
    check_private(document)
    if document.get("texts") is not None:
        raise wrong("texts", "it is another API's name for documents", "send documents alone")
    return RerankHead(
        model=asked.model,
        texts=asked.texts,
        top_n=min(asked.top_n or len(asked.texts), len(asked.texts)),
        return_documents=bool(asked.return_documents),
        body=_with_texts(body, asked),
    )


def rerank_answer(answer: bytes, head: RerankHead) -> bytes:
    """Sort an engine's answer, the best first, cut it, and add the documents if they are wanted.

    Args:
        answer: The document of an answer with status 200.

    Raises:
        EngineGone: It is no such answer.
    """
    try:
        said = msgspec.json.decode(answer, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_scores(str(error)) from error
    if not all(0 <= result.index < len(head.texts) for result in said.results):
        raise _no_scores("it ranks documents that were not sent")
    best = sorted(said.results, key=lambda result: -result.value)[: head.top_n]
    document = {
        "model": said.model or head.model,
        "object": "list",
        "usage": said.usage.whole,
        "results": [_rendered(result, head) for result in best],
    }
    return msgspec.json.encode(document)


def _rendered(result: _Score, head: RerankHead) -> Mapping[str, Any]:
    score = None if math.isinf(result.value) else result.value
    told = {"document": {"text": head.texts[result.index]}} if head.return_documents else {}
    return {"index": result.index, "relevance_score": score, **told}


def _with_texts(body: bytes, asked: _Request) -> bytes:
    if all(isinstance(document, str) for document in asked.documents):
        return body
    return with_members(body, {"documents": asked.texts})


def _no_scores(why: str) -> EngineGone:
    return EngineGone(
        "The engine's answer is not one that ranks documents.",
        why=why,
        fix="try again; localllm logs shows the engine's own words",
    )
