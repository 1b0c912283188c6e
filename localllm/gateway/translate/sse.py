"""Server-sent events: taken apart as they come, and written. Pure.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, of which engines use
lines of `data:` and comments.
"""

from __future__ import annotations

import msgspec

_MOST_BYTES = 16 << 20
"""Of one event; an engine that sends more is broken."""


class EventTooLarge(Exception):
    """The stream is none."""


class EventReader:
    """Cuts a stream of bytes into the data of its events; comments and other fields are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take bytes; return the data of each event that is complete now.

        Raises:
            EventTooLarge: An event has no end.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found: list[bytes] = []
        for line in lines:
            line = line.removesuffix(b"\r")  # noqa: PLW2901
            if not line and self._data:
                found.append(b"\n".join(self._data))
                self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
        if len(self._rest) + sum(map(len, self._data)) > _MOST_BYTES:
            raise EventTooLarge
        return found


def event(kind: str, document: object) -> bytes:
    """Write one event with its name, which Anthropic's clients need."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(document))
