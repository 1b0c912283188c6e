"""A small endpoint that listens on loopback, as a daemon that its daemon.json tells of."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from localllm import __version__
from localllm.api.daemon_file import DaemonFile, write_daemon_file

TOKEN = "the-daemons-token"
MODELS = "/api/v1/models"


def instance(name: str = "m", **more: object) -> dict[str, Any]:
    """One entry of `/api/v1/models`."""
    none = dict.fromkeys(("quant", "pid", "kv_used", "error"))
    return {
        **none,
        "id": name,
        "instance": f"{name}:1",
        "state": "ready",
        "wanted": True,
        "why": "",
        "engine": "fake",
        "device": "cpu",
        "context": 65536,
        "parallel": 2,
        "layers": {"on_device": 0, "total": 1},
        "memory": {"predicted": 1, "measured": None, "resident": None},
        "speed": {"predicted_tps": None, "measured_tps": None, "prefill_tps": None},
        "requests": {"active": 0, "waiting": 0, "total": 0},
        **more,
    }


def events(*datas: object) -> bytes:
    """A stream as servers send it; each event is named by its type, if it has one."""
    return b"".join(_event(data) for data in datas)


def _event(data: object) -> bytes:
    name = f"event: {data['type']}\n" if isinstance(data, dict) and "type" in data else ""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"{name}data: {text}\n\n".encode()


@dataclass
class Endpoint:
    """What it answers, and what it was asked."""

    models: list[dict[str, Any]] = field(default_factory=lambda: [instance()])
    abilities: list[str] | None = None
    key: str | None = None
    status: int = 200
    answer: bytes = b""
    kind: str = "text/event-stream"
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    port: int = 0

    def listing(self) -> dict[str, Any]:
        abilities = {} if self.abilities is None else {"abilities": self.abilities}
        entries = [{"id": m["id"], "aliases": [f"my-{m['id']}"], **abilities} for m in self.models]
        return {"object": "list", "data": entries}


@contextmanager
def an_endpoint(state: Path, **how: Any) -> Iterator[Endpoint]:
    """Listen until the block ends; `state` is where daemon.json goes."""
    endpoint = Endpoint(**how)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == MODELS:
                allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
                return self._send(200 if allowed else 401, endpoint.models)
            return self._v1(None)

        def do_POST(self) -> None:
            self._v1(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _v1(self, body: Any) -> None:
            endpoint.asked.append((self.path, dict(self.headers), body))
            given = self.headers.get("Authorization", "")[7:]
            if endpoint.key is not None and given not in {endpoint.key, TOKEN}:
                return self._send(401, {"error": {"message": "no key"}})
            if body is None:
                return self._send(200, endpoint.listing())
            return self._send(endpoint.status, endpoint.answer, endpoint.kind)

        def _send(self, status: int, content: Any, kind: str = "application/json") -> None:
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.port = server.server_address[1]
    state.mkdir(parents=True, exist_ok=True)
    daemon = DaemonFile(
        pid=os.getpid(), started=0.0, port=endpoint.port, token=TOKEN, version=__version__
    )
    write_daemon_file(state / "daemon.json", daemon)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield endpoint
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
