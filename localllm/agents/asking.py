"""Asks the endpoint as an agent would: with http.client, and through no proxy."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from localllm.agents.first_request import FirstRequest, Reading, what_it_says

_SILENCE_S = 300.0
"""As long as Claude Code and Codex wait for the next event."""

_ALL_OF_IT_S = 1800.0
"""For an answer of a few words, however slow the machine."""

_LISTING_S = 10.0
"""As long as Open WebUI waits for the list of models."""

_ERRORS_FROM = 400
_UNAUTHORIZED = 401
_MAX_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a first request went."""

    status: int | None
    """None where there was no answer."""

    first_event_s: float | None
    total_s: float
    events: int
    end: str | None
    """The event that ended the stream well; None if none did."""

    error: str | None

    @property
    def complete(self) -> bool:
        return self.error is None and self.end is not None


def fetch_listing(base: str, key: str | None) -> list[dict[str, Any]] | None:
    """List the served models as clients see them; None if the endpoint asks for another key.

    Raises:
        OSError: Nobody answers, or not in time.
    """
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with closing(_connection(base, _LISTING_S)) as connection:
        connection.request("GET", "/v1/models", headers=headers)
        answer = connection.getresponse()
        content = answer.read(_MAX_BYTES)
    if answer.status == _UNAUTHORIZED:
        return None
    try:
        data = json.loads(content)["data"]
    except (ValueError, KeyError, TypeError):
        return []
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def send_first_request(
    base: str,
    request: FirstRequest,
    body: bytes | None,
    headers: dict[str, str],
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Send a request and read its answer to the end, or until nothing came for as long as agents wait."""
    began, reading = clock(), Reading(request.ends)
    status, first = None, None
    error = None
    with closing(_connection(base, _SILENCE_S)) as connection:
        try:
            connection.request(request.method, request.path, body, headers)
            answer = connection.getresponse()
            status = answer.status
            if status >= _ERRORS_FROM or not request.ends:
                end, error = _read_document(answer.read(_MAX_BYTES), status)
                reading.end, first = end, clock() - began
            else:
                error = _wrong_type(answer)
                for line in answer:
                    if reading.line(line.decode(errors="replace").rstrip("\r\n")) and first is None:
                        first = clock() - began
                    if clock() - began > _ALL_OF_IT_S:
                        error = f"it was not done after {_ALL_OF_IT_S:.0f} s"
                        break
        except (OSError, http.client.HTTPException) as failure:
            error = str(failure) or type(failure).__name__
    error = error or reading.error or (None if reading.end else "the stream ended before its end")
    return Outcome(status, first, clock() - began, reading.events, reading.end, error)


def _connection(base: str, timeout_s: float) -> http.client.HTTPConnection:
    address = urlsplit(base)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)


def _wrong_type(answer: http.client.HTTPResponse) -> str | None:
    kind = answer.headers.get_content_type()
    return None if kind == "text/event-stream" else f"the answer is {kind}, and no stream of events"


def _read_document(content: bytes, status: int) -> tuple[str | None, str | None]:
    """What a document ends with, and what is wrong with it."""
    try:
        document = json.loads(content)
    except ValueError:
        return None, f"the answer is no JSON: {content[:200].decode(errors='replace')}"
    return ("JSON", None) if status < _ERRORS_FROM else (None, what_it_says(document))
