"""Completions with a `suffix`: llama.cpp's `/infill`, which puts the model's own marks around both.

Its `/v1/completions` passes over a suffix as if there was none, and our own workers refuse one.
`/infill` cuts what does not fit into a batch: of the prefix its beginning, of the suffix its end.
Pure.

Source: handle_infill and format_prompt_infill in llama.cpp's tools/server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from localllm.errors import EngineGone
from localllm.gateway.engine_errors import engine_error
from localllm.gateway.members import read_members
from localllm.gateway.requests.completions import Completion
from localllm.gateway.requests.document import checked, parse_document

PATH = "/infill"
_NOT_SENT = frozenset(
    {"prompt", "suffix", "model", "stream_options", "best_of", "echo", "n", "n_cmpl", "logprobs"}
)
_NULL = msgspec.Raw(b"null")
_DONE = b"data: [DONE]\n\n"
_FAILED = 500


class _Timings(msgspec.Struct):
    cache_n: int = 0


class _Answer(msgspec.Struct):
    """What `/infill` answers, at once or in an event; the last event has the counts."""

    content: str = ""
    stop: bool = True
    stop_type: str = "eos"
    tokens_predicted: int = 0
    tokens_evaluated: int = 0
    completion_probabilities: list[Any] | None = None
    timings: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL

    @property
    def finish_reason(self) -> str | None:
        if not self.stop:
            return None
        return "length" if self.stop_type == "limit" else "stop"

    @property
    def usage(self) -> Mapping[str, Any]:
        timings = msgspec.json.decode(self.timings, type=_Timings | None) or _Timings()
        return {
            "prompt_tokens": self.tokens_evaluated,
            "completion_tokens": self.tokens_predicted,
            "total_tokens": self.tokens_evaluated + self.tokens_predicted,
            "prompt_tokens_details": {"cached_tokens": timings.cache_n},
        }


@dataclass(frozen=True, slots=True)
class Framing:
    """What each document of one answer says.

    Args:
        id: As `cmpl-...`.
        created: Seconds since 1970.
        model: The model's name, as answers give it.
    """

    id: str
    created: int
    model: str


def infill_body(body: bytes) -> bytes:
    """Make `/infill`'s body of a completion that `check_completion` calls an infill."""
    document = parse_document(body)
    asked = checked(document, Completion)
    members = read_members(body)
    sent: dict[str, object] = {k: v for k, v in members.items() if k not in _NOT_SENT}
    sent |= {"input_prefix": asked.one_text, "input_suffix": asked.suffix, "prompt": ""}
    if asked.logprobs is not None:
        sent["n_probs"] = asked.logprobs
    return msgspec.json.encode(sent)


def infill_document(answer: bytes, framing: Framing) -> bytes:
    """Make a whole answer one of OpenAI's.

    Raises:
        EngineGone: It is none of `/infill`.
    """
    said = _parse(answer)
    return msgspec.json.encode({**_document(said, framing), **_counts(said)})


class InfillStream:
    """Makes the events of `/infill` those of OpenAI's completions.

    Args:
        include_usage: Whether the client wants the counts in an event of their own.
    """

    def __init__(self, framing: Framing, *, include_usage: bool) -> None:
        self._framing = framing
        self._include_usage = include_usage
        self._is_complete = False

    def feed(self, data: bytes) -> bytes:
        """Take the data of one event; return those to send in its place, with the stream's end.

        Raises:
            LocalLLMError: It is an error, or no event of `/infill`.
        """
        said = _parse(data)
        if said.error != _NULL:
            raise engine_error(_FAILED, data)
        document = _document(said, self._framing)
        if not said.stop:
            return _event(document) if said.content or said.completion_probabilities else b""
        self._is_complete = True
        if not self._include_usage:
            return _event({**document, **_counts(said)}) + _DONE
        return _event(document) + _event({**document, "choices": [], **_counts(said)}) + _DONE

    @property
    def is_complete(self) -> bool:
        """Whether the answer has had its end; if not when the engine's stream ends, it was cut."""
        return self._is_complete


def _parse(data: bytes) -> _Answer:
    try:
        return msgspec.json.decode(data, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EngineGone(
            "The engine's answer is not one that fills in a text.",
            why=str(error),
            fix="try again; localllm logs shows the engine's own words",
        ) from error


def _document(said: _Answer, framing: Framing) -> dict[str, Any]:
    told = said.completion_probabilities
    choice = {
        "index": 0,
        "text": said.content,
        "logprobs": None if told is None else {"content": told},
        "finish_reason": said.finish_reason,
    }
    return {
        "id": framing.id,
        "object": "text_completion",
        "created": framing.created,
        "model": framing.model,
        "choices": [choice],
    }


def _counts(said: _Answer) -> dict[str, Any]:
    return {"usage": said.usage, "timings": said.timings}


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"
