"""What an answer says of itself: how much was read and written, when its pieces came, how it ended. Pure.

One shape for all of OpenAI's and Anthropic's endpoints: their members have different names, and none
has two meanings.

Source: openai/openai-openapi; docs.anthropic.com, streaming; llama.cpp's tools/server for `timings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import msgspec

from localllm.bench.shots import Timings

_DONE = b"[DONE]"
_MOST_SAID = 300


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    input_tokens: int | None = None
    """Responses: all of them. Messages: those that were read."""

    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    cache_read_input_tokens: int | None = None
    """Messages alone."""


class _Timed(msgspec.Struct):
    """llama.cpp's; milliseconds."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    cache_n: int | None = None
    predicted_n: int = 0
    predicted_ms: float = 0.0


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[object] | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None

    @property
    def has_text(self) -> bool:
        texts = (self.content, self.reasoning_content, self.reasoning, self.refusal)
        more = (self.text, self.thinking, self.partial_json)
        return any(texts) or any(more) or bool(self.tool_calls)


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    """Of a completion."""

    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    """A document inside an event: message_start's, response.completed's."""

    usage: _Usage | None = None
    status: str | None = None
    error: object = None


class _Event(msgspec.Struct):
    type: str | None = None
    choices: list[_Choice] = []
    delta: _Delta | str | None = None
    """Responses stream a text here."""

    usage: _Usage | None = None
    timings: _Timed | None = None
    message: _Whole | str | None = None
    response: _Whole | None = None
    stop_reason: str | None = None
    status: str | int | None = None
    error: object = None


_decode = msgspec.json.Decoder(_Event).decode
_ENDS = frozenset({"message_stop", "response.completed", "response.incomplete"})


@dataclass(slots=True)
class Answer:
    """Filled while it is read, and not changed after that."""

    tokens_at: list[int] = field(default_factory=list[int])
    """Where the pieces of its text are in what came, as `read_events` was told."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int | None = None
    finish: str | None = None
    timings: Timings | None = None
    is_whole: bool = False
    error: str | None = None


def read_events(events: Iterable[tuple[int, bytes]]) -> Answer:
    """Read a stream.

    Args:
        events: Of each its place, whatever that is, and its data.
    """
    answer = Answer()
    for place, data in events:
        if data == _DONE:
            answer.is_whole = True
            continue
        try:
            event = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            answer.error = answer.error or f"an event cannot be read: {_cut(data)}"
            continue
        if _is_piece(event):
            answer.tokens_at.append(place)
        _take(answer, event, data)
    return answer


def read_document(parts: Sequence[tuple[int, bytes]], status: int) -> Answer:
    """Read an answer of one document: its one moment is that of its last part."""
    text = b"".join(part for _, part in parts)
    answer = Answer(is_whole=True)
    try:
        event = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        answer.error = f"status {status}: {_cut(text)}"
        return answer
    _take(answer, event, text)
    if answer.generated_tokens and status < HTTPStatus.BAD_REQUEST:
        answer.tokens_at.append(parts[-1][0])
    return answer


def _is_piece(event: _Event) -> bool:
    if isinstance(event.delta, str):
        return bool(event.delta)
    if event.delta is not None and event.delta.has_text:
        return True
    return any(c.text or (c.delta is not None and c.delta.has_text) for c in event.choices)


def _take(answer: Answer, event: _Event, data: bytes) -> None:
    inner = event.message if isinstance(event.message, _Whole) else event.response
    for usage in (event.usage, None if inner is None else inner.usage):
        if usage is not None:
            _count(answer, usage)
    if event.timings is not None:
        _time(answer, event.timings)
    answer.finish = _finish(event) or answer.finish
    if event.type in _ENDS:
        answer.is_whole = True
        answer.finish = (inner.status if inner else None) or answer.finish
    if event.error or event.type == "error" or (inner is not None and inner.error):
        answer.error = _said(event.error or (inner and inner.error)) or _cut(data)


def _said(error: object) -> str | None:
    """Read an error's own words, in one line."""
    message = error.get("message") if isinstance(error, dict) else error
    return " ".join(message.split())[:_MOST_SAID] if isinstance(message, str) else None


def _finish(event: _Event) -> str | None:
    for choice in event.choices:
        if choice.finish_reason:
            return choice.finish_reason
    if isinstance(event.delta, _Delta) and event.delta.stop_reason:
        return event.delta.stop_reason
    return event.stop_reason


def _count(answer: Answer, usage: _Usage) -> None:
    """Take what is told; a later event knows more than an earlier one."""
    details = usage.prompt_tokens_details or usage.input_tokens_details
    cached = usage.cache_read_input_tokens if details is None else details.cached_tokens
    prompt = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    if prompt is not None and usage.cache_read_input_tokens is not None:
        prompt += usage.cache_read_input_tokens
    written = usage.completion_tokens
    written = usage.output_tokens if written is None else written
    answer.prompt_tokens = answer.prompt_tokens if prompt is None else prompt
    answer.cached_tokens = answer.cached_tokens if cached is None else cached
    answer.generated_tokens = answer.generated_tokens if written is None else written


def _time(answer: Answer, timed: _Timed) -> None:
    answer.timings = Timings(
        timed.prompt_n, timed.prompt_ms / 1000, timed.predicted_n, timed.predicted_ms / 1000
    )
    if timed.cache_n is not None and not answer.cached_tokens:
        answer.cached_tokens = timed.cache_n


def _cut(data: bytes) -> str:
    return data[:_MOST_SAID].decode(errors="replace")
