"""A chat completion's stream, as an answer of Anthropic's Messages API. Pure.

Source: the events' order and what Claude Code and the SDKs make of them were tried with the real
clients; accumulate_event in anthropic-sdk-python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from localllm.errors import LocalLLMError
from localllm.gateway.translate.anthropic_blocks import Blocks, Kind
from localllm.gateway.translate.anthropic_errors import anthropic_error
from localllm.gateway.translate.chunks import Chunk, Delta, Progress, Timings, Usage
from localllm.gateway.translate.sse import event
from localllm.gateway.translate.stop_sequences import StopScan
from localllm.gateway.usage import Tokens, tokens_of

_PING = event("ping", {"type": "ping"})
_STOP = event("message_stop", {"type": "message_stop"})
_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


class Thoughts(StrEnum):
    """What a client has said about thinking."""

    ASKED = "asked"
    LEFT = "left to the model"
    UNWANTED = "unwanted"
    """Some models think nevertheless: the client does not see it."""


class MessagesAnswer:
    """Writes one message. Mutable; see Answering.

    Args:
        model: As the client named it.
        stops: Where to stop. The engine is not told: it would not say which one it met.
        new_id: Makes an id that begins with what it is given.
    """

    def __init__(
        self,
        model: str,
        *,
        thoughts: Thoughts,
        stops: Sequence[str],
        new_id: Callable[[str], str],
    ) -> None:
        self._model = model
        self._thoughts = thoughts
        self._stops = tuple(stops)
        self._new_id = new_id
        self._id = new_id("msg_")
        self._forget()

    def _forget(self) -> None:
        self._blocks = Blocks(self._new_id)
        self._scan = StopScan(self._stops)
        self._finish: str | None = None
        self._is_refusal = False
        self._usage: Usage | None = None
        self._timings: Timings | None = None
        self._pieces = 0

    def begin(self) -> bytes:
        """Open the message; an answer that broke off before the client saw any of it may begin anew."""
        self._forget()
        return event("message_start", {"type": "message_start", "message": self._message()})

    def life(self, progress: Progress | None) -> bytes:  # noqa: ARG002  # no client shows it
        """Show life: Claude Code gives up a stream that has nothing but pings for 300 s."""
        kind = Kind.THINKING if self._thoughts is Thoughts.ASKED else Kind.TEXT
        return _PING + self._blocks.touch(kind)

    def feed(self, chunk: Chunk) -> bytes:
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.timings is not None:
            self._timings = chunk.timings
        said = b""
        for choice in chunk.choices:
            if choice.index == 0 and not self.is_complete:
                self._pieces += 1
                self._finish = choice.finish_reason or self._finish
                said += self._say(choice.delta)
        return said

    @property
    def is_complete(self) -> bool:
        return self._scan.met is not None

    def end(self) -> bytes:
        rest = self._text(self._scan.rest()) + self._blocks.close()
        delta = {"type": "message_delta", "delta": self._stop(), "usage": self._used()}
        return rest + event("message_delta", delta) + _STOP

    def fail(self, error: LocalLLMError) -> bytes:
        return event("error", anthropic_error(error).body)

    def whole(self) -> Mapping[str, object]:
        said = {"content": self._blocks.documents(), "usage": self._used()}
        return self._message() | said | self._stop()

    def _say(self, delta: Delta) -> bytes:
        said = b""
        if thought := delta.thought:
            said += self._unheld()
            if self._thoughts is not Thoughts.UNWANTED:
                said += self._blocks.say(Kind.THINKING, thought)
        if text := delta.content or delta.refusal:
            said += self._text(self._scan.feed(text))
        if delta.refusal:
            self._is_refusal = True
        if not self.is_complete:
            for part in delta.tool_calls or ():
                said += self._unheld() + self._blocks.call(part)
        return said

    def _text(self, text: str) -> bytes:
        return self._blocks.say(Kind.TEXT, text) if text else b""

    def _unheld(self) -> bytes:
        """Say what was kept for a stop sequence: the text ends here."""
        return self._text(self._scan.rest())

    def _message(self) -> dict[str, object]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(Tokens(0, 0, 0)),
        }

    def _stop(self) -> dict[str, object]:
        """Why the message ends. With calls it is for them, except where the last was cut short."""
        calls = self._blocks.calls
        if calls and (self._finish != "length" or calls[-1].is_whole):
            return {"stop_reason": "tool_use", "stop_sequence": None}
        if self.is_complete:
            return {"stop_reason": "stop_sequence", "stop_sequence": self._scan.met}
        finish = "content_filter" if self._is_refusal else self._finish or "stop"
        return {"stop_reason": _REASONS.get(finish, "end_turn"), "stop_sequence": None}

    def _used(self) -> dict[str, object]:
        """Count, by pieces where the engine has told nothing: of an answer that was stopped."""
        return _usage(tokens_of(self._usage, self._timings) or Tokens(0, 0, self._pieces))


def _usage(tokens: Tokens) -> dict[str, object]:
    """Write the usage; Anthropic's `input_tokens` are those that the cache had not."""
    usage: dict[str, object] = {
        "input_tokens": max(tokens.prompt - tokens.cached, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.generated,
    }
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage
