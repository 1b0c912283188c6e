"""What the fake hub is told from another process, on a port for that alone, and what it tells."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.fakes.hub_faults import Fault, Stage
from tests.fakes.hub_state import FakeHub

_SETTABLE = (
    *("bytes_per_s", "send_buffer_bytes", "ignores_ranges", "announces_xet", "links_small_files"),
    *("dies_after_bytes", "expires_s", "expires_after_requests", "token"),
)


class ControlHandler(BaseHTTPRequestHandler):
    """Takes an order by POST, and counts for nothing itself."""

    def __init__(self, hub: FakeHub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(obey(self.hub, order)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def obey(hub: FakeHub, order: dict[str, Any]) -> dict[str, Any]:
    """Do what `order` says, in this sequence, and tell how things are then.

    Keys: heal, forget, expire (true); set (an object of settings); faults (a list of objects, as
    `Fault`); cuts (an object with times, within_bytes, seed).
    """
    for verb in ("heal", "forget", "expire"):
        if order.get(verb):
            getattr(hub, verb)()
    for name, value in order.get("set", {}).items():
        assert name in _SETTABLE, name
        setattr(hub, name, value)
    for fault in order.get("faults", []):
        hub.fail(Fault(**{**fault, "at": Stage(fault.get("at", Stage.BODY))}))
    if "cuts" in order:
        hub.cut_at_random(**order["cuts"])
    return {
        "sent_bytes": hub.sent_bytes,
        "sent_of": dict(hub.sent_of),
        "sent_between": hub.sent_between,
        "cuts_left": hub.cuts_left,
        "connections": hub.connections,
        "most_connections": hub.most_connections,
        "most_sending": hub.most_sending,
        "requests": [
            [asked.host, asked.method, asked.target, asked.range, asked.token, asked.status]
            for asked in hub.log
        ],
    }
