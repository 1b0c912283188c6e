"""The items of an answer, each written while it grows. Pure.

Source: response_stream_event.py in openai-python 3.57. Every delta is within a part that was
added, every part within an item that was, and what is done says all that the deltas did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from localllm.gateway.translate.responses_body import Object
from localllm.gateway.translate.responses_content import sealed
from localllm.gateway.translate.responses_input import InputReader
from localllm.gateway.translate.responses_tools import Origin
from localllm.gateway.translate.sse import event

Status = Literal["completed", "incomplete"]
PartKind = Literal["output_text", "refusal", "reasoning_text"]


class Script:
    """Writes events and numbers them. Mutable."""

    def __init__(self) -> None:
        self._number = 0

    def write(self, kind: str, **fields: object) -> bytes:
        document = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event(kind, document)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item is written."""

    script: Script
    index: int
    item_id: str

    def write(self, kind: str, **fields: object) -> bytes:
        return self.script.write(kind, item_id=self.item_id, output_index=self.index, **fields)

    def write_item(self, kind: str, item: Object) -> bytes:
        return self.script.write(f"response.{kind}", output_index=self.index, item=item)


class Item(Protocol):
    """One item; `document` is all of it once it is closed."""

    document: Object

    def open(self) -> bytes: ...

    def close(self, status: Status) -> bytes: ...


class Spoken:
    """A message, or reasoning: parts of text, one after the other. Mutable.

    Args:
        is_sealed: Of reasoning, whether it is given once more as `encrypted_content`.
    """

    def __init__(self, place: Place, *, is_reasoning: bool, is_sealed: bool = False) -> None:
        self._place = place
        self._is_sealed = is_sealed
        self._parts: list[Object] = []
        self._kind: PartKind | None = None
        self._said: list[str] = []
        self.is_reasoning = is_reasoning
        self.document: Object = {"id": place.item_id, "status": "in_progress", "content": []}
        if is_reasoning:
            self.document |= {"type": "reasoning", "summary": [], "encrypted_content": None}
        else:
            self.document |= {"type": "message", "role": "assistant"}

    def open(self) -> bytes:
        return self._place.write_item("output_item.added", self.document)

    def say(self, kind: PartKind, text: str) -> bytes:
        opened = b"" if kind == self._kind else self._end_part() + self._begin_part(kind)
        self._said.append(text)
        extra: Object = {"logprobs": []} if kind == "output_text" else {}
        return opened + self._write(f"{kind}.delta", delta=text, **extra)

    def close(self, status: Status) -> bytes:
        ended = self._end_part()
        self.document = self.document | {"status": status, "content": self._parts}
        if self._is_sealed:
            thoughts = "".join(str(part["text"]) for part in self._parts)
            self.document["encrypted_content"] = sealed(thoughts)
        return ended + self._place.write_item("output_item.done", self.document)

    def _begin_part(self, kind: PartKind) -> bytes:
        self._kind = kind
        return self._write("content_part.added", part=_part(kind, ""))

    def _end_part(self) -> bytes:
        if self._kind is None:
            return b""
        kind, part = self._kind, _part(self._kind, "".join(self._said))
        whole = {name: value for name, value in part.items() if name in _WHOLE}
        ended = self._write(f"{kind}.done", **whole)
        ended += self._write("content_part.done", part=part)
        self._parts.append(part)
        self._kind, self._said = None, []
        return ended

    def _write(self, kind: str, **fields: object) -> bytes:
        return self._place.write(f"response.{kind}", content_index=len(self._parts), **fields)


_WHOLE = frozenset({"text", "refusal", "logprobs"})


def _part(kind: PartKind, text: str) -> Object:
    match kind:
        case "output_text":
            return {"type": kind, "text": text, "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": kind, "refusal": text}
        case "reasoning_text":
            return {"type": kind, "text": text}


class FunctionCall:
    """A call with arguments in JSON. Mutable."""

    def __init__(self, place: Place, origin: Origin, call_id: str) -> None:
        self._place = place
        self._arguments: list[str] = []
        self.document: Object = {
            "id": place.item_id,
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            **origin.names,
            "arguments": "",
        }

    def open(self) -> bytes:
        return self._place.write_item("output_item.added", self.document)

    def add(self, arguments: str) -> bytes:
        if not arguments:
            return b""
        self._arguments.append(arguments)
        return self._place.write("response.function_call_arguments.delta", delta=arguments)

    def close(self, status: Status) -> bytes:
        """End the call; one without arguments has an empty object of them, which is JSON."""
        filled = b"" if self._arguments or status == "incomplete" else self.add("{}")
        whole = "".join(self._arguments)
        self.document = self.document | {"status": status, "arguments": whole}
        return (
            filled
            + self._place.write(
                "response.function_call_arguments.done",
                name=self.document["name"],
                arguments=whole,
            )
            + self._place.write_item("output_item.done", self.document)
        )


class CustomCall:
    """A call with text, which the model gives as the field of a function. Mutable."""

    def __init__(self, place: Place, origin: Origin, call_id: str) -> None:
        self._place = place
        self._reader = InputReader()
        self._input: list[str] = []
        self.document: Object = {
            "id": place.item_id,
            "type": "custom_tool_call",
            "status": "in_progress",
            "call_id": call_id,
            **origin.names,
            "input": "",
        }

    def open(self) -> bytes:
        return self._place.write_item("output_item.added", self.document)

    def add(self, arguments: str) -> bytes:
        return self._add_text(self._reader.feed(arguments))

    def _add_text(self, text: str) -> bytes:
        if not text:
            return b""
        self._input.append(text)
        return self._place.write("response.custom_tool_call_input.delta", delta=text)

    def close(self, status: Status) -> bytes:
        rest = self._add_text(self._reader.finish())
        whole = "".join(self._input)
        self.document = self.document | {"status": status, "input": whole}
        return (
            rest
            + self._place.write("response.custom_tool_call_input.done", input=whole)
            + self._place.write_item("output_item.done", self.document)
        )
