"""Clients of the endpoint that note what they see and when."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from tests.fakes.installation import Installation

MODEL = "smollm2-135m-instruct"
WITHIN_S = 60.0
SMALL = ("--context", "512")
"""For `up`: a warm-up takes less long."""

COUNT = "Count as far as you can."


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any
    at: float
    """When its last byte came, on the monotonic clock."""

    @property
    def error(self) -> str:
        """The message of one that is a refusal."""
        return str(self.body["error"]["message"])


def chat(text: str, *, model: str, tokens: int, stream: bool) -> dict[str, Any]:
    """Make a request that a small model answers with exactly so many tokens."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": stream,
    }


def scripted(**script: Any) -> str:
    """Write a prompt that tells the fake engine what to do; a Script's fields."""
    return json.dumps(script)


def ask(here: Installation, text: str = COUNT, *, model: str = MODEL) -> Answer:
    """Send a chat that is not streamed, and wait for its answer."""
    with _sent(here, chat(text, model=model, tokens=4, stream=False)) as response:
        body = json.loads(response.read())
        return Answer(response.status, dict(response.headers), body, time.monotonic())


def answered_after(here: Installation, since: float, *, model: str = MODEL) -> float:
    """Have the next request answered; return the seconds since the fault."""
    answer = ask(here, model=model)
    assert answer.status == 200, f"the next request is answered, not: {answer}"
    return answer.at - since


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is being read, event by event."""

    response: HTTPResponse

    def event(self) -> Any:
        """Read the next; None at the end."""
        return next(self._events(), None)

    def rest(self) -> list[Any]:
        """Read to the end, or to where the connection breaks."""
        read: list[Any] = []
        with suppress(OSError, HTTPException):
            read.extend(self._events())
        return read

    def _events(self) -> Iterator[Any]:
        for line in self.response:
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])


@contextmanager
def streaming(here: Installation, text: str = COUNT, *, tokens: int = 4000) -> Iterator[Stream]:
    """Begin a stream, with its first event read; leaving the block is hanging up."""
    with _sent(here, chat(text, model=MODEL, tokens=tokens, stream=True)) as response:
        stream = Stream(response)
        first = stream.event()
        assert "choices" in (first or {}), f"a stream begins, not: {first}"
        yield stream


def is_whole(events: list[Any]) -> bool:
    """Tell whether a stream came to its own end."""
    return bool(events) and any(c.get("finish_reason") for c in events[-1].get("choices", ()))


def works(engine_socket: Path) -> bool:
    """Ask llama.cpp itself whether one of its slots computes."""
    connection = HTTPConnection("engine", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(5)
        connection.sock.connect(str(engine_socket))
        connection.request("GET", "/slots")
        slots = json.loads(connection.getresponse().read())
        return any(slot["is_processing"] for slot in slots)
    finally:
        connection.close()


@contextmanager
def _sent(here: Installation, body: Mapping[str, Any]) -> Iterator[HTTPResponse]:
    connection = HTTPConnection("127.0.0.1", here.port, timeout=WITHIN_S)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()
