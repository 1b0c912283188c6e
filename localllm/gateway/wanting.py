"""What each endpoint under /v1 asks of an engine, and how the answer gets back to the client."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from localllm.errors import BadRequest, LocalLLMError
from localllm.gateway.client_stream import ClientStream, OpenStreams
from localllm.gateway.engine_errors import engine_error
from localllm.gateway.outputs import Comments, Output, StreamBytes, StreamEvents, WholeBytes
from localllm.gateway.requests.bounds import Limits
from localllm.gateway.requests.chat import (
    ChatHead,
    check_chat,
    check_chat_document,
    with_only_tool,
)
from localllm.gateway.requests.completions import CompletionHead, check_completion
from localllm.gateway.requests.embeddings import check_embeddings, embeddings_answer
from localllm.gateway.requests.infill import PATH as INFILL
from localllm.gateway.requests.infill import Framing, InfillStream, infill_body, infill_document
from localllm.gateway.requests.refusals import embeddings_error, infill_error, rerank_error
from localllm.gateway.requests.rerank import check_rerank, rerank_answer
from localllm.gateway.translate.anthropic_request import messages_request
from localllm.gateway.translate.billing import BILLING, chat_without_billing
from localllm.gateway.translate.responses_request import responses_request
from localllm.gateway.translate.responses_store import Earlier
from localllm.gateway.translate.translation import Translated
from localllm.gateway.translated_outputs import AnsweringVoice, StreamTranslated, WholeTranslated
from localllm.metrics.live import Live

CHAT = "/v1/chat/completions"
_COMPLETIONS, _EMBEDDINGS, _RERANK = "/v1/completions", "/v1/embeddings", "/v1/rerank"

_MEMBER = re.compile(r"\w+")
OF_MESSAGES = {
    "messages": "messages",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "response_format": "output_config.format",
}
_OF_RESPONSES = {
    "messages": "input",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
}
"""What the two other APIs call the members of a chat completion."""

_FILLING_IN = frozenset({"llama-server", "xllamacpp"})

Refusal = Callable[[int, bytes], LocalLLMError]
"""Reads what an engine says beside a status that is not 200."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, and what its answer may draw on.

    Args:
        served: The id of the model that will answer; None: nobody serves it yet.
        earlier: What its client may go on from.
        remove_billing_header: Whether a line of Claude Code's is left out of prompts.
        new_id: Makes an id that begins with what it is given.
        now: Seconds since 1970.
    """

    request: web.Request
    live: Live
    streams: OpenStreams
    served: str | None
    earlier: Earlier
    new_id: Callable[[str], str]
    now: Callable[[], float]
    remove_billing_header: bool = True

    def as_it_comes(self, *, stream: bool) -> Output:
        """Pass an answer on as bytes."""
        if stream:
            return StreamBytes(self.live, self._stream())
        return WholeBytes(self.live)

    def reshaped(self, reshape: Callable[[bytes], bytes]) -> Output:
        """Pass a document on that is changed a little."""
        return WholeBytes(self.live, reshape)

    def events(self, events: InfillStream) -> Output:
        """Pass a stream on, each of whose events is changed."""
        return StreamEvents(self.live, self._stream(), events)

    def translated(self, translated: Translated) -> Output:
        """Pass an answer on in the words of its client's API."""
        voice = AnsweringVoice(translated.answering)
        if translated.is_stream:
            client = ClientStream(self.request, voice, self.streams)
            return StreamTranslated(self.live, client, voice)
        return WholeTranslated(self.live, voice)

    def _stream(self) -> ClientStream:
        return ClientStream(self.request, Comments(), self.streams)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an engine is asked.

    Args:
        is_generated: An answer is written, so that a name's manner counts.
        removed: What was left out of its prompt, by name.
    """

    path: str
    body: bytes
    output: Output
    refusal: Refusal = engine_error
    is_generated: bool = True
    removed: tuple[str, ...] = ()


def want_chat(body: bytes, limits: Limits, origin: Origin) -> Wanted:
    """Read a chat completion.

    Raises:
        BadRequest: It is none; the field is named. So it is with the others.
    """
    head = check_chat(body, limits)
    kept = chat_without_billing(body) if origin.remove_billing_header else body
    sent = _with_choice(kept, head.chosen_tool)
    removed = () if kept is body else (BILLING,)
    return Wanted(CHAT, sent, origin.as_it_comes(stream=head.stream), removed=removed)


def want_completion(body: bytes, limits: Limits, origin: Origin) -> Wanted:
    """Read a completion; one with a suffix is filled in."""
    head = check_completion(body, limits)
    if head.is_infill:
        return _want_infill(head, origin)
    return Wanted(_COMPLETIONS, head.body, origin.as_it_comes(stream=head.stream))


def _want_infill(head: CompletionHead, origin: Origin) -> Wanted:
    framing = Framing(
        origin.new_id("cmpl-"), int(origin.now()), origin.served or head.model or "localllm"
    )
    output = (
        origin.events(InfillStream(framing, include_usage=head.include_usage))
        if head.stream
        else origin.reshaped(lambda answer: infill_document(answer, framing))
    )
    return Wanted(INFILL, infill_body(head.body), output, infill_error)


def check_can(wanted: Wanted, engine: str) -> None:
    """Refuse what only some engines have a path for.

    Raises:
        BadRequest: This one has not.
    """
    if wanted.path == INFILL and engine not in _FILLING_IN:
        raise BadRequest(
            f"The engine {engine} cannot fill in text before a suffix.",
            why=f"{' and '.join(sorted(_FILLING_IN))} can, with a model that was trained for it",
            fix="leave suffix out, or serve the model with one of those: localllm up --engine",
            param="suffix",
        )


def want_response(body: bytes, limits: Limits, origin: Origin) -> Wanted:
    """Read a request of OpenAI's Responses API."""
    translated = responses_request(
        body,
        earlier=origin.earlier,
        new_id=origin.new_id,
        now=origin.now,
        served=origin.served,
    )
    return _want_translated(translated, limits, origin, _OF_RESPONSES)


def want_messages(body: bytes, limits: Limits, origin: Origin) -> Wanted:
    """Read a request of Anthropic's Messages API."""
    translated = messages_request(
        body,
        origin.new_id,
        served=origin.served,
        remove_billing_header=origin.remove_billing_header,
    )
    return _want_translated(translated, limits, origin, OF_MESSAGES)


def _want_translated(
    translated: Translated, limits: Limits, origin: Origin, words: Mapping[str, str]
) -> Wanted:
    head = check_translated(translated.chat, limits, words)
    body = _with_choice(msgspec.json.encode(translated.chat), head.chosen_tool)
    return Wanted(CHAT, body, origin.translated(translated), removed=translated.removed)


def check_translated(
    chat: Mapping[str, object], limits: Limits, words: Mapping[str, str]
) -> ChatHead:
    """Check the chat completion that was made of another API's request.

    Args:
        words: What the client calls the members of the chat that it wrote in another way. Where in
            them the error is, is not said: the translation moves things.

    Raises:
        BadRequest: A field is wrong or beyond its bound; it has the client's name.
    """
    try:
        return check_chat_document(chat, limits)
    except BadRequest as error:
        member = _MEMBER.match(error.param or "")
        if member is None or member[0] not in words:
            raise
        name = words[member[0]]
        raise BadRequest(
            f"The request's {name} is wrong.", why=error.why, fix=error.fix, param=name
        ) from error


def want_embeddings(body: bytes, _limits: Limits, origin: Origin) -> Wanted:
    """Read a request for embeddings."""
    head = check_embeddings(body)
    output = origin.reshaped(lambda answer: embeddings_answer(answer, head))
    return Wanted(_EMBEDDINGS, head.body, output, embeddings_error, is_generated=False)


def want_rerank(body: bytes, _limits: Limits, origin: Origin) -> Wanted:
    """Read a request to rank documents."""
    head = check_rerank(body)
    output = origin.reshaped(lambda answer: rerank_answer(answer, head))
    return Wanted(_RERANK, head.body, output, rerank_error, is_generated=False)


def _with_choice(body: bytes, tool: str | None) -> bytes:
    return body if tool is None else with_only_tool(body, tool)
