"""Sorts the text of an answer, as it comes, into what OpenAI's clients expect. Pure.

An answer is content, reasoning and calls of tools; it ends before the first stop sequence. What
might be the start of markup is held back until it is clear.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from localllm.engines.workers.answers import Delta

ParseCall = Callable[[str], Any]
"""Reads a call, or a list of them, out of the model's own notation."""

_BAD_CALL = (ValueError, LookupError, TypeError, AttributeError, SyntaxError)
"""What mlx-lm's parsers raise at text that is no call; most often it was cut off."""


class _Part:
    """One part of an answer; white space around parts is markup, that within them is text."""

    def __init__(self, *, after_markup: bool) -> None:
        self._blank = after_markup
        self.held = ""

    def take(self, text: str) -> str:
        text = self.held + text
        text = text.lstrip() if self._blank else text
        said = text.rstrip()
        self._blank = self._blank and not said
        self.held = text[len(said) :]
        return said


class Sorter:
    """Turns pieces of text, each with the state it was said in, into deltas.

    Args:
        one_call: The answer is over when a tool was called: the client wants no two at once.
    """

    def __init__(self, parse_call: ParseCall, *, one_call: bool = False) -> None:
        self._parse_call = parse_call
        self._one_call = one_call
        self._state: str | None = None
        self._call = ""
        self._content = _Part(after_markup=False)
        self._reasoning = _Part(after_markup=True)
        self.calls = 0

    @property
    def is_over(self) -> bool:
        return self._one_call and self.calls > 0

    def take(self, pieces: Iterable[tuple[str | None, str]]) -> Iterator[Delta]:
        """Add pieces in their order; the states are mlx-lm's: normal, reasoning, tool."""
        for state, text in pieces:
            if self._state == "tool" and state != "tool":
                yield from self._end_call()
            self._state = state
            if state == "tool":
                self._call += text
            elif state == "reasoning":
                self._content = _Part(after_markup=True)
                yield from _said("reasoning_content", self._reasoning.take(text))
            elif state == "normal":
                yield from _said("content", self._content.take(text))

    def end(self) -> Iterator[Delta]:
        """Return what was held back, since nothing follows."""
        if self._state == "tool":
            yield from self._end_call()
        if not self.calls:
            yield from _said("content", self._content.held)

    def _end_call(self) -> Iterator[Delta]:
        text, self._call = self._call, ""
        self._content = _Part(after_markup=True)
        try:
            calls = self._read_calls(text)
        except _BAD_CALL:
            yield from _said("content", text)  # better shown than lost
            return
        for call in calls[: 1 if self._one_call else None]:
            yield {"tool_calls": [{"index": self.calls, **call}]}
            self.calls += 1

    def _read_calls(self, text: str) -> list[Delta]:
        read = self._parse_call(text)
        return [_call(one) for one in (read if isinstance(read, list) else [read])]


def _said(field: str, text: str) -> Iterator[Delta]:
    if text:
        yield {field: text}


def _call(read: dict[str, Any]) -> Delta:
    arguments = read["arguments"]
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return {
        "id": read.get("id") or uuid.uuid4().hex,
        "type": "function",
        "function": {"name": read["name"], "arguments": arguments},
    }
