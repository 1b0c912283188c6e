"""The first request that an agent sends, as it was recorded, and whether its answer is whole.

The recordings are cut down to a few lines of prompt and two tools; the shape is theirs: endpoint,
headers, fields, kinds of tools, and that it is streamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from localllm.agents.connection import Connection
from localllm.agents.profile import AgentProfile
from localllm.errors import ConfigError

_BY_API = {"messages": "claude-code", "responses": "codex", "chat": "opencode"}


class FirstRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is sent."""

    method: Literal["GET", "POST"]
    path: str
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    ends: tuple[str, ...] = ()
    """Types of the events that end a stream well; `[DONE]` is one. None: the answer is one JSON."""

    key: Literal["bearer", "x-api-key"] = "bearer"


def read_first_request(folder: Path, agent: AgentProfile) -> FirstRequest:
    """Read the recording that is an agent's, or that of its API.

    Raises:
        ConfigError: There is none that this version reads.
    """
    name = agent.request or _BY_API[agent.api]
    file = folder / "agents" / "requests" / f"{name}.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=FirstRequest)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"The request {file} is broken.", why=str(error), fix="reinstall localllm"
        ) from error


def body_of(request: FirstRequest, connection: Connection) -> bytes | None:
    """Its body, for the model that is served."""
    if request.body is None:
        return None
    return json.dumps({**request.body, "model": connection.model}).encode()


def headers_of(request: FirstRequest, key: str) -> Mapping[str, str]:
    """Its headers, with the key where this agent puts it."""
    said = {"Accept": "text/event-stream"} if request.ends else {"Accept": "application/json"}
    if request.body is not None:
        said["Content-Type"] = "application/json"
    secret = (
        {"x-api-key": key} if request.key == "x-api-key" else {"Authorization": f"Bearer {key}"}
    )
    return {**said, **request.headers, **secret}


@dataclass(slots=True)
class Reading:
    """Reads a stream line by line and remembers how it went."""

    ends: tuple[str, ...]
    events: int = 0
    end: str | None = None
    """The event that ended it well; None if none came yet."""

    error: str | None = None
    """What the stream said went wrong."""

    _named: str | None = field(default=None, repr=False)

    def line(self, line: str) -> bool:
        """Take one line; true if it is an event."""
        if line.startswith("event:"):
            self._named = line[6:].strip()
        if not line.startswith("data:"):
            return False
        self.events += 1
        data = line[5:].strip()
        kind = data if data == "[DONE]" else self._kind(data)
        if kind in self.ends:
            self.end = kind
        self._named = None
        return True

    def _kind(self, data: str) -> str | None:
        try:
            event = json.loads(data)
        except ValueError:
            self.error = f"an event is no JSON: {data[:200]}"
            return None
        if not isinstance(event, dict):
            return None
        if event.get("error") or event.get("type") in {"error", "response.failed"}:
            self.error = what_it_says(event)
        kind = event.get("type", self._named)
        if self._named is not None and kind != self._named:
            self.error = f"the event {self._named} says that it is {kind}"
        return kind if isinstance(kind, str) else None


def what_it_says(document: object) -> str:
    """Find the message in an error of either API."""
    seen = document
    for key in ("response", "error"):
        if isinstance(seen, dict) and isinstance(seen.get(key), dict | str):
            seen = seen[key]
    message = seen.get("message") if isinstance(seen, dict) else seen
    return str(message or json.dumps(document))[:2000]
