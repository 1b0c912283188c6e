"""Chat messages, built up as the pieces of a conversation come. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from localllm.gateway.translate.responses_body import Object
from localllm.gateway.translate.responses_content import (
    BETWEEN,
    simplest,
    text_of,
    text_part,
    without_text,
)


@dataclass(slots=True)
class _Turn:
    """One message of the assistant. Mutable."""

    reasoning: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    calls: list[Object] = field(default_factory=list)

    def message(self) -> Object | None:
        """Put it together; None where it holds but thoughts, since then nothing was said."""
        if not self.texts and not self.calls:
            return None
        message: Object = {"role": "assistant", "content": BETWEEN.join(self.texts)}
        if self.reasoning:
            message["reasoning_content"] = BETWEEN.join(self.reasoning)
        if self.calls:
            message["tool_calls"] = self.calls
        return message


class Messages:
    """Puts what belongs together into one message, as chat templates demand. Mutable.

    Many templates refuse two messages of one role in a row, or a system message that is not the
    first: a later one becomes the user's, marked as what it is.
    """

    def __init__(self) -> None:
        self._done: list[Object] = []
        self._asked: list[Object] = []
        self._turn = _Turn()
        self._shown: list[Object] = []

    def instruct(self, text: str) -> None:
        if self._asked or self._shown or self._turn.calls or self._turn.texts:
            return self.ask([text_part(_marked(text))])
        match self._done:
            case []:
                self._done.append({"role": "system", "content": text})
            case [{"role": "system"} as only]:
                only["content"] = f"{only['content']}{BETWEEN}{text}"
            case _:
                self.ask([text_part(_marked(text))])
        return None

    def ask(self, parts: list[Object]) -> None:
        self._end_turn()
        self._asked += self._shown + parts
        self._shown = []

    def think(self, text: str) -> None:
        self._begin_turn()
        self._turn.reasoning.append(text)

    def say(self, text: str) -> None:
        self._begin_turn()
        self._turn.texts.append(text)

    def call(self, call_id: str, name: str, arguments: str) -> None:
        self._begin_turn()
        function = {"name": name, "arguments": arguments}
        self._turn.calls.append({"id": call_id, "type": "function", "function": function})

    def answer(self, call_id: str, parts: list[Object]) -> None:
        """Add a tool's answer. Its images are shown after all answers, as chat tools have but text."""
        self._end_turn()
        self._end_question()
        content = text_of(parts)
        if images := without_text(parts):
            self._shown += [text_part(f"Returned by the tool call {call_id}:"), *images]
            content = content or "The result is shown below."
        self._done.append({"role": "tool", "tool_call_id": call_id, "content": content})

    def finished(self) -> list[Object]:
        self.ask([])
        self._end_question()
        return self._done

    def _begin_turn(self) -> None:
        self._asked += self._shown
        self._shown = []

    def _end_question(self) -> None:
        if self._asked:
            self._done.append({"role": "user", "content": simplest(self._asked)})
            self._asked = []

    def _end_turn(self) -> None:
        message = self._turn.message()
        if message is not None:
            self._end_question()
            self._done.append(message)
        self._turn = _Turn()


def _marked(text: str) -> str:
    """Mark what the user has not said, in words that models have seen in Claude Code's prompts."""
    return f"<system-reminder>\n{text}\n</system-reminder>"
