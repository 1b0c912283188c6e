"""Stands between an agent and the gateway: passes on what comes, as it comes, and keeps a copy.

What the control API says of the gateway's port is changed into the recorder's own, so that an agent
which is told by the daemon where to ask comes here. Where it is asked for, requests are changed so
that their answers end soon. Nothing else is.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path

_PATIENCE_S = 900.0
"""A long prompt is read for minutes where there is no device for it."""

_ASKED = {
    "/v1/chat/completions": "stop",
    "/v1/messages": "stop_sequences",
    "/v1/responses": "stop",
}
_STOPS = [".", "!", "?", "\n", " a", " i", " o", " s", " t", " w"]
"""Few words are without one."""

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
"""Headers of one connection alone, and those that are written anew."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as it has come."""

    method: str
    target: str
    """With the query."""

    headers: Mapping[str, str]
    """Names in lower case."""

    body: bytes
    status: int | None = None
    """None until an answer begins."""

    answer: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    """Whether the answer came to its end, and the agent was still there to take it."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(slots=True)
class Recorder:
    """Mutable, and added to by a thread per connection."""

    gateway: int
    """The port."""

    ends_soon: bool = False
    """Whether answers are to be a word or two: the smallest models never end where a prompt is longer
    than they were trained for, and one that was cut off is asked for again."""

    port: int = 0
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    """In the order in which they began."""


@contextmanager
def recording(gateway: int, *, ends_soon: bool = False) -> Iterator[Recorder]:
    """Listen on a free port of loopback, for as long as the block runs."""
    recorder = Recorder(gateway, ends_soon)

    class Bound(_Handler):
        kept = recorder

    with _Server(("127.0.0.1", 0), Bound) as server:
        recorder.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()


def ending_soon(asked: Exchange) -> bytes:
    """Write a request so that its answer ends soon, and well; OpenAI's newer API passes `stop` on."""
    if asked.method != "POST" or asked.path not in _ASKED:
        return asked.body
    return json.dumps({**json.loads(asked.body), _ASKED[asked.path]: _STOPS}).encode()


def leave_bodies(folder: Path, exchanges: Sequence[Exchange]) -> None:
    """Write all that was sent and answered down, as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(exchanges, 1):
        (folder / f"{number}-request").write_bytes(one.body)
        (folder / f"{number}-answer").write_bytes(one.answer)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of an agent that ends without a goodbye."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept: Recorder

    def do_POST(self) -> None:
        named = {name.lower(): value for name, value in self.headers.items()}
        exchange = Exchange(self.command, self.path, named, self._body())
        self.kept.exchanges.append(exchange)
        connection = HTTPConnection("127.0.0.1", self.kept.gateway, timeout=_PATIENCE_S)
        try:
            sent = ending_soon(exchange) if self.kept.ends_soon else exchange.body
            connection.request(self.command, self.path, sent, self._headers())
            self._pass_on(exchange, connection.getresponse())
        finally:
            connection.close()

    do_GET = do_HEAD = do_DELETE = do_PUT = do_OPTIONS = do_POST  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return b"".join(_chunks(self.rfile))

    def _headers(self) -> dict[str, str]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        return {**kept, "Connection": "close"}

    def _pass_on(self, exchange: Exchange, answer: HTTPResponse) -> None:
        exchange.status = answer.status
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for piece in self._pieces(answer):
                exchange.answer += piece
                self._write(piece)
            self._write(b"")
            exchange.is_whole = True
        except (OSError, HTTPException):  # one of the two has gone, so the other is let go, too
            self.close_connection = True

    def _pieces(self, answer: HTTPResponse) -> Iterator[bytes]:
        if self.path.startswith("/api/v1/"):
            ports = (self.kept.gateway, self.kept.port)
            there, here = (f"127.0.0.1:{port}".encode() for port in ports)
            yield answer.read().replace(there, here)
            return
        while piece := answer.read1(1 << 16):
            yield piece

    def _write(self, piece: bytes) -> None:
        """Write a chunk; an empty one ends the answer."""
        if self.command != "HEAD":
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def log_message(self, *_: object) -> None: ...


def _chunks(file: BufferedIOBase) -> Iterator[bytes]:
    while length := int(file.readline().split(b";")[0], 16):
        yield file.read(length)
        file.readline()
    file.readline()
