"""Asks the translation as a client would, and answers it as an engine would."""

from __future__ import annotations

import itertools
import json
from typing import Any

from localllm.errors import LocalLLMError
from localllm.gateway.translate.chunks import parse_chunk
from localllm.gateway.translate.responses_request import responses_request
from localllm.gateway.translate.responses_store import Earlier, ResponseStore
from localllm.gateway.translate.translation import Answering, Translated

NOW = 1_790_000_000.5


class Ids:
    """Makes `msg_1`, `fc_2`, …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"


def translate(
    earlier: Earlier | None = None, /, *, new_id: Ids | None = None, **fields: Any
) -> Translated:
    """Translate a request with these fields, and `input` where it is not among them."""
    return responses_request(
        json.dumps({"model": "m", "input": "hi"} | fields).encode(),
        earlier=earlier or ResponseStore().of("someone"),
        new_id=new_id or Ids(),
        now=lambda: NOW,
    )


def messages(items: Any, **fields: Any) -> Any:
    return translate(input=items, **fields).chat["messages"]


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a chunk of an engine."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return {"choices": [choice]}


def call_delta(
    index: int, arguments: str | None = None, name: str | None = None, call_id: str | None = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": index, "id": call_id, "function": function}])


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 60},
    },
}


def fed(answering: Answering, *chunks: dict[str, Any]) -> bytes:
    return b"".join(answering.feed(parse_chunk(json.dumps(chunk).encode())) for chunk in chunks)


def answered(translated: Translated, *chunks: dict[str, Any]) -> bytes:
    """Give the whole stream that a client gets for these chunks."""
    answering = translated.answering
    begun = answering.begin()
    said = fed(answering, *chunks)
    return begun + said + answering.end()


def failed(
    error: LocalLLMError, *chunks: dict[str, Any], translated: Translated | None = None
) -> bytes:
    """Give the whole stream of an answer that fails after these chunks."""
    answering = (translated or translate(stream=True)).answering
    begun = answering.begin()
    said = fed(answering, *chunks)
    return begun + said + answering.fail(error)
