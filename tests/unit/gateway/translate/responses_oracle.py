"""Reads a stream of response events as the strictest client would, and raises at any breach.

Written from the API's reference and from what Codex and the SDKs demand, not from what we write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

LIFE = ("response.created", "response.in_progress")
LAST = ("response.completed", "response.incomplete", "response.failed")
PART_OF = {"output_text": "message", "refusal": "message", "reasoning_text": "reasoning"}
GIVEN = {"function_call": "arguments", "custom_tool_call": "input"}
DELTA_OF = {
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
USAGE = {
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "input_tokens_details": {"cached_tokens": int},
    "output_tokens_details": {"reasoning_tokens": int},
}


class Breach(AssertionError):
    """The stream is not as the API says."""


def demand(holds: object, what: str, event: object) -> None:
    if not holds:
        raise Breach(f"{what}: {event}")


@dataclass
class SeenItem:
    id: str
    kind: str
    parts: list[dict[str, Any]] = field(default_factory=list)
    part_kind: str | None = None
    said: str = ""
    is_said: bool = False
    done: dict[str, Any] | None = None


@dataclass
class Seen:
    """What a client has at the end."""

    items: list[SeenItem] = field(default_factory=list)
    response: dict[str, Any] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    last: str | None = None

    @property
    def output(self) -> list[dict[str, Any]]:
        return [item.done for item in self.items if item.done is not None]

    def text(self, kind: str = "output_text") -> str:
        parts = [part for item in self.output for part in item.get("content", ())]
        return "".join(part["text"] for part in parts if part["type"] == kind)

    def calls(self) -> list[tuple[str | None, str, str]]:
        return [
            (item.get("namespace"), item["name"], item[GIVEN[item["type"]]])
            for item in self.output
            if item["type"] in GIVEN
        ]


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """Cut a stream into events, each with its name and its data."""
    demand(stream.endswith(b"\n\n"), "an event is not ended", stream[-80:])
    events = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        document = json.loads(data.removeprefix("data: "))
        demand(name == f"event: {document['type']}", "the name is not the type", block)
        events.append(document)
    return events


def observe(stream: bytes) -> Seen:
    """Read a whole stream.

    Raises:
        Breach: It breaks a rule.
    """
    seen = Seen()
    for number, event in enumerate(events_of(stream)):
        demand(event["sequence_number"] == number, "out of sequence", event)
        demand(seen.last is None, "an event follows the last", event)
        demand(number != 0 or event["type"] == LIFE[0], "created is not first", event)
        demand(number != 1 or event["type"] == LIFE[1], "in_progress is not second", event)
        _see(seen, event)
        seen.kinds.append(event["type"])
    demand(seen.last is not None, "the stream has no end", seen.kinds)
    return seen


def _see(seen: Seen, event: dict[str, Any]) -> None:
    match event["type"]:
        case "response.created" | "response.in_progress":
            _see_life(seen, event)
        case kind if kind in LAST:
            _see_last(seen, event)
        case "response.output_item.added":
            _see_added(seen, event)
        case "response.output_item.done":
            _see_item_done(_item(seen, event, event["item"]["id"]), event)
        case "response.content_part.added" | "response.content_part.done":
            _see_part(_item(seen, event, event["item_id"]), event)
        case kind:
            demand(kind.endswith((".delta", ".done")), "it is unknown", event)
            _see_text(_item(seen, event, event["item_id"]), event)


def _see_life(seen: Seen, event: dict[str, Any]) -> None:
    response = event["response"]
    demand(response["status"] == "in_progress", "its status is wrong", event)
    demand(response["output"] == [] and response["usage"] is None, "it knows too much", event)
    demand(not seen.response or response == seen.response, "the response has changed", event)
    demand(seen.response or event["type"] == LIFE[0], "created is missing", event)
    demand(not seen.response or event["type"] == LIFE[1], "created comes twice", event)
    seen.response = response


def _see_last(seen: Seen, event: dict[str, Any]) -> None:
    response, status = event["response"], event["type"].removeprefix("response.")
    demand(response["id"] == seen.response["id"], "its id has changed", event)
    demand(response["status"] == status, "its status is wrong", event)
    done = [item.done for item in seen.items if item.done is not None]
    demand(response["output"] == done, "output is not what was done", event)
    demand(status == "failed" or len(done) == len(seen.items), "an item is open", event)
    demand((response["error"] is not None) == (status == "failed"), "error", event)
    cut = response["incomplete_details"] is not None
    demand(cut == (status == "incomplete"), "incomplete_details", event)
    demand((response["completed_at"] is not None) == (status == "completed"), "completed_at", event)
    demand(_has(response["usage"], USAGE), "usage has gaps", event)
    total = response["usage"]["input_tokens"] + response["usage"]["output_tokens"]
    demand(response["usage"]["total_tokens"] == total, "usage does not add up", event)
    seen.response, seen.last = response, status


def _has(value: Any, shape: Any) -> bool:
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_has(value.get(k), s) for k, s in shape.items())
    return type(value) is shape


def _item(seen: Seen, event: dict[str, Any], item_id: str) -> SeenItem:
    index: int = event["output_index"]
    demand(0 <= index < len(seen.items), "its item was not added", event)
    item = seen.items[index]
    demand(item.id == item_id, "index and id are of two items", event)
    demand(item.done is None, "its item is done", event)
    return item


def _see_added(seen: Seen, event: dict[str, Any]) -> None:
    item = event["item"]
    demand(event["output_index"] == len(seen.items), "output_index is not the next", event)
    demand(item["id"] not in {known.id for known in seen.items}, "the id is used twice", event)
    demand(item["status"] == "in_progress", "it begins done", event)
    if item["type"] in GIVEN:
        demand(item[GIVEN[item["type"]]] == "" and item["call_id"] and item["name"], "call", event)
    else:
        demand(item["type"] in PART_OF.values() and item["content"] == [], "content", event)
    seen.items.append(SeenItem(item["id"], item["type"]))


def _see_part(item: SeenItem, event: dict[str, Any]) -> None:
    part = event["part"]
    demand(PART_OF.get(part["type"]) == item.kind, "no such part in such an item", event)
    demand(event["content_index"] == len(item.parts), "content_index is not the next", event)
    text = part.get("text", part.get("refusal"))
    if event["type"].endswith("added"):
        demand(item.part_kind is None and text == "", "a part is open, or begins full", event)
        item.part_kind, item.said, item.is_said = part["type"], "", False
        return
    demand(item.part_kind == part["type"] and item.is_said, "it was not open, or not said", event)
    demand(text == item.said, "the part is not what was said", event)
    item.parts.append(part)
    item.part_kind = None


def _see_text(item: SeenItem, event: dict[str, Any]) -> None:
    base, _, end = event["type"].rpartition(".")
    if item.kind in GIVEN:
        demand(base == DELTA_OF[item.kind], "such text is not of such an item", event)
        whole = event.get(GIVEN[item.kind])
    else:
        demand(base == f"response.{item.part_kind}", "no such part is open", event)
        demand(event["content_index"] == len(item.parts), "content_index is another's", event)
        is_text = item.part_kind == "output_text"
        demand(event.get("logprobs") == ([] if is_text else None), "logprobs", event)
        whole = event.get("text", event.get("refusal"))
    demand(not item.is_said, "it was said to the end", event)
    if end == "delta":
        demand(event["delta"], "an empty delta", event)
        item.said += event["delta"]
        return
    demand(whole == item.said, "the whole is not the sum of its deltas", event)
    item.is_said = True


def _see_item_done(item: SeenItem, event: dict[str, Any]) -> None:
    done = event["item"]
    demand(done["type"] == item.kind, "its type has changed", event)
    demand(done["status"] in ("completed", "incomplete"), "its status is wrong", event)
    if item.kind in GIVEN:
        demand(item.is_said and done[GIVEN[item.kind]] == item.said, "not as it was said", event)
    else:
        demand(item.part_kind is None, "a part is open", event)
        demand(done["content"] == item.parts and item.parts, "not as it was said", event)
    item.done = done
