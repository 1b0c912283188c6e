"""A reader of Anthropic's event stream that forgives nothing: the tests' oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from localllm.gateway.translate.anthropic_stream import MessagesAnswer, Thoughts
from localllm.gateway.translate.chunks import Chunk, parse_chunk

_DELTAS = {
    "text": {"text_delta": "text"},
    "thinking": {"thinking_delta": "thinking", "signature_delta": "signature"},
    "tool_use": {"input_json_delta": "partial_json"},
}
_REASONS = {"end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"}


class Violation(Exception):
    """The stream is none of Anthropic's."""


@dataclass
class MessagesReader:
    message: dict[str, Any] | None = None
    blocks: list[dict[str, Any]] = field(default_factory=list)
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    pings: int = 0
    is_open: bool = False
    is_over: bool = False

    def read(self, stream: bytes) -> MessagesReader:
        *events, rest = stream.split(b"\n\n")
        demand(rest == b"", f"cut off: {rest!r}")
        for one in events:
            kind, data = one.split(b"\n")
            demand(kind.startswith(b"event: ") and data.startswith(b"data: "), f"{one!r}")
            document = json.loads(data[6:])
            demand(document["type"] == kind[7:].decode(), f"{one!r}")
            demand(not self.is_over, f"after the end: {one!r}")
            getattr(self, f"_{document['type']}")(document)
        return self

    @property
    def text(self) -> str:
        return "".join(b["text"] for b in self.blocks if b["type"] == "text")

    @property
    def thinking(self) -> str:
        return "".join(b["thinking"] for b in self.blocks if b["type"] == "thinking")

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(b["name"], b["partial_json"]) for b in self.blocks if b["type"] == "tool_use"]

    @property
    def kinds(self) -> list[str]:
        return [block["type"] for block in self.blocks]

    def _message_start(self, event: dict[str, Any]) -> None:
        demand(self.message is None, "two starts")
        self.message = event["message"]
        expected = {"type": "message", "role": "assistant", "content": [], "stop_reason": None}
        demand(expected.items() <= event["message"].items(), "start")
        demand({"input_tokens", "output_tokens"} <= event["message"]["usage"].keys(), "usage")

    def _content_block_start(self, event: dict[str, Any]) -> None:
        demand(self.message is not None and self.delta is None, "a block outside of the message")
        demand(not self.is_open, "two open blocks")
        demand(event["index"] == len(self.blocks), "index")
        block = event["content_block"]
        if block["type"] == "tool_use":
            demand(block["input"] == {} and bool(block["name"]) and bool(block["id"]), "call")
        self.blocks.append(block | {"partial_json": ""})
        self.is_open = True

    def _content_block_delta(self, event: dict[str, Any]) -> None:
        demand(self.is_open and event["index"] == len(self.blocks) - 1, "delta of no open block")
        block, delta = self.blocks[-1], event["delta"]
        name = _DELTAS[block["type"]].get(delta["type"])
        demand(name is not None, f"{delta['type']} in {block['type']}")
        demand(not block.get("signature"), "a signature is the last of a block")
        block[name] += delta[name]

    def _content_block_stop(self, event: dict[str, Any]) -> None:
        demand(self.is_open and event["index"] == len(self.blocks) - 1, "stop of no open block")
        demand(self.blocks[-1].get("signature") != "", "a thought without a signature")
        self.is_open = False

    def _message_delta(self, event: dict[str, Any]) -> None:
        demand(self.message is not None and self.delta is None and not self.is_open, "early delta")
        self.delta, self.usage = event["delta"], event["usage"]
        demand(event["delta"]["stop_reason"] in _REASONS, "stop_reason")

    def _message_stop(self, _event: dict[str, Any]) -> None:
        demand(self.delta is not None, "a stop without a delta")
        self.is_over = True

    def _ping(self, _event: dict[str, Any]) -> None:
        self.pings += 1

    def _error(self, event: dict[str, Any]) -> None:
        self.error = event["error"]
        self.is_over = True


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def an_answer(
    *, thoughts: Thoughts = Thoughts.ASKED, stops: tuple[str, ...] = ()
) -> MessagesAnswer:
    numbers = count(1)
    return MessagesAnswer(
        "a-model",
        thoughts=thoughts,
        stops=stops,
        new_id=lambda prefix: f"{prefix}{next(numbers)}",
    )


def a_chunk(finish: str | None = None, **delta: Any) -> Chunk:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return parse_chunk(json.dumps({"choices": [choice]}).encode())


def text(said: str) -> Chunk:
    return a_chunk(content=said)


def thought(said: str) -> Chunk:
    return a_chunk(reasoning_content=said)


def call(
    arguments: str | None, *, name: str | None = None, id_: str | None = None, index: int = 0
) -> Chunk:
    part = {"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}
    return a_chunk(tool_calls=[part])


def ends(reason: str) -> Chunk:
    return a_chunk(reason)


def used(prompt: int, answer: int, *, cached: int = 0, reasoning: int = 0) -> Chunk:
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return parse_chunk(json.dumps({"choices": [], "usage": usage}).encode())


def written(answer: MessagesAnswer, *chunks: Chunk) -> bytes:
    """What an engine's stream becomes; the engine is stopped where enough is said."""
    said = [answer.begin()]
    for chunk in chunks:
        said.append(answer.feed(chunk))
        if answer.is_complete:
            break
    return b"".join([*said, answer.end()])


def read(answer: MessagesAnswer, *chunks: Chunk) -> MessagesReader:
    reader = MessagesReader().read(written(answer, *chunks))
    demand(reader.is_over, "no end")
    return reader
