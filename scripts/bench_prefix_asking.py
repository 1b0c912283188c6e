"""Asks as an agent does, and reads off the stream when the first token came and what was read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from bench_prefix_shapes import Request

PATIENCE_S = 900.0
_DATA = b"data: "


class NotAnswered(RuntimeError):
    """A request failed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer."""

    prompt_tokens: int
    cached_tokens: int
    """Of the prompt's, as the answer's usage says."""

    generated_tokens: int
    first_s: float
    """From the request to the first token."""

    text: str

    @property
    def read_tokens(self) -> int:
        return self.prompt_tokens - self.cached_tokens


@dataclass(slots=True)
class _Stream:
    """What a stream has told so far."""

    first_s: float | None = None
    text: list[str] = field(default_factory=list[str])
    begun: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The usage that it began with, where the API tells one."""

    counted: tuple[int, int, int] | None = None


def ask(port: int, request: Request) -> Reading:
    """Ask, and read the stream to its end.

    Raises:
        NotAnswered: It was refused, broke off, or says nothing of tokens.
    """
    began, told = time.monotonic(), _Stream()
    for event in _events(port, request):
        word = word_in(event)
        if word is not None:
            told.first_s = told.first_s or time.monotonic() - began
            told.text.append(word)
        if event.get("type") == "message_start":
            told.begun = event["message"]["usage"]
        told.counted = counted_in(event, told.begun) or told.counted
    if told.counted is None:
        raise NotAnswered(f"{request.path} told no usage")
    first_s = told.first_s or time.monotonic() - began
    return Reading(*told.counted, first_s, "".join(told.text))


def words_of(port: int, request: Request) -> Iterator[str]:
    """Ask, and yield each token's text as it comes.

    Raises:
        NotAnswered: It was refused, or broke off.
    """
    for event in _events(port, request):
        word = word_in(event)
        if word is not None:
            yield word


def count(port: int, request: Request) -> None:
    """Ask for a count, or for anything whose answer is one document.

    Raises:
        NotAnswered: It failed.
    """
    with _Answer(port, request) as answer:
        answer.read()


def _events(port: int, request: Request) -> Iterator[dict[str, Any]]:
    try:
        with _Answer(port, request) as answer:
            for line in answer:
                if line.startswith(_DATA + b"{"):
                    yield json.loads(line[len(_DATA) :])
    except (OSError, HTTPException) as error:
        raise NotAnswered(f"{request.path} broke off: {error!r}") from error


class _Answer:
    """A connection for one answer."""

    def __init__(self, port: int, request: Request) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._request = request

    def __enter__(self) -> HTTPResponse:
        asked = self._request
        headers = {**asked.headers, "Content-Type": "application/json"}
        try:
            self._connection.request("POST", asked.path, json.dumps(asked.body), headers)
            answer = self._connection.getresponse()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise NotAnswered(f"{asked.path} was not answered: {error!r}") from error
        if answer.status != 200:
            why = answer.read(400).decode(errors="replace")
            self._connection.close()
            raise NotAnswered(f"{asked.path} answered {answer.status}: {why}")
        return answer

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def word_in(event: dict[str, Any]) -> str | None:
    """The text that an event of any of the three APIs adds; "" for a token that is no text."""
    if event.get("choices"):
        delta = event["choices"][0].get("delta", {})
        if delta.get("reasoning_content") or delta.get("tool_calls"):
            return ""
        return delta.get("content") or None
    kind = str(event.get("type", ""))
    if kind == "content_block_delta":
        return str(event["delta"].get("text", ""))
    if kind == "response.output_text.delta":
        return str(event["delta"])
    return "" if kind.startswith("response.") and kind.endswith(".delta") else None


def counted_in(event: Mapping[str, Any], begun: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Tokens of the prompt, of it those from the cache, and of the answer; None if not told here.

    Args:
        begun: The usage that a message began with; engines do not repeat it at the end.
    """
    kind = event.get("type")
    if kind == "message_delta":
        usage = {**begun, **event["usage"]}
        cached = usage.get("cache_read_input_tokens") or 0
        whole = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
        return whole, cached, usage["output_tokens"]
    if kind in ("response.completed", "response.incomplete"):
        usage = event["response"]["usage"]
        cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
        return usage["input_tokens"], cached, usage["output_tokens"]
    if "choices" in event and event.get("usage"):
        usage = event["usage"]
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return usage["prompt_tokens"], cached, usage["completion_tokens"]
    return None
