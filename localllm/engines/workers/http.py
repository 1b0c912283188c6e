"""Runs in the child: HTTP around an engine that is a library, in the words of llama.cpp's server.

Listens on a Unix socket, or on a loopback port where every request must bring the key. Knows
nothing of models: an engine's worker says what a request is answered with.
"""

from __future__ import annotations

import hmac
import json
import os
import select
import socket
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any

KEY_VARIABLE = "LOCALLLM_ENGINE_KEY"
_MAX_BODY_BYTES = 1 << 30
"""The gateway's own bound is far lower; this one is against what is no request at all."""


class Refusal(Exception):
    """Why a request is not answered, as OpenAI's clients expect it.

    Args:
        more: Further fields of the error object, as `n_ctx` and `n_prompt_tokens`.
    """

    def __init__(self, status: int, message: str, kind: str, **more: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": status, "message": message, "type": kind, **more}}


def invalid(message: str) -> Refusal:
    """A request that is wrong, or that this engine cannot do."""
    return Refusal(HTTPStatus.BAD_REQUEST, message, "invalid_request_error")


def too_long(prompt_tokens: int, context: int) -> Refusal:
    """A prompt that does not fit, in llama.cpp's words, which the gateway reads."""
    return Refusal(
        HTTPStatus.BAD_REQUEST,
        f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens)",
        "exceed_context_size_error",
        n_prompt_tokens=prompt_tokens,
        n_ctx=context,
    )


@dataclass(frozen=True, slots=True)
class Listening:
    """Where to listen; a socket, or a port and the key that every request must bring."""

    socket: str | None
    port: int | None

    def key(self) -> str | None:
        """Take the key out of the environment, where children would inherit it."""
        return os.environ.pop(KEY_VARIABLE, None)


class WorkerServer(ThreadingHTTPServer):
    """One thread a connection; generation is the engine's own affair."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, where: Listening, handler: type[BaseHTTPRequestHandler]) -> None:
        self.key = where.key()
        self.address_family = socket.AF_INET if where.socket is None else socket.AF_UNIX
        address: Any = where.socket or ("127.0.0.1", where.port)
        BaseServer.__init__(self, address, handler)
        self.socket = socket.socket(self.address_family, socket.SOCK_STREAM)
        self.server_bind()
        self.server_activate()

    def server_bind(self) -> None:
        """Bind, without the host's name, which http.server would look up."""
        if self.address_family == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Say nothing: a client that goes away is no error, others are answered in `respond`."""


class WorkerHandler(BaseHTTPRequestHandler):
    """Checks the key, reads the body, sends documents, events and refusals."""

    protocol_version = "HTTP/1.1"
    server: WorkerServer

    def setup(self) -> None:
        """Send small events at once."""
        super().setup()
        if self.connection.family == socket.AF_INET:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._opened = False

    def address_string(self) -> str:
        """A Unix socket's peer has no address."""
        return "gateway"

    def log_message(self, *_: object) -> None:
        """Log no request: their number and their prompts are nobody's business."""

    def do_GET(self) -> None:
        """Answer `/health`: the server listens only once the model is loaded."""
        if self.path == "/health":
            self.send_document({"status": "ok"})
        else:
            self._refuse(_not_found(self.path))

    def do_POST(self) -> None:
        """Answer a request, or refuse it in OpenAI's shape."""
        self._opened = False
        try:
            self._check_key()
            self.answer(self.path, self._read_body())
        except Refusal as refusal:
            self._refuse(refusal)
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True
        except Exception as error:  # noqa: BLE001  # one request must not cost the others their engine
            failure = f"{type(error).__name__}: {error}"
            self._refuse(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, failure, "server_error"))

    def answer(self, path: str, body: dict[str, Any]) -> None:  # noqa: ARG002  # a worker reads it
        """Answer one request; the engine's worker overrides it.

        Raises:
            Refusal: It is not answered.
        """
        raise _not_found(path)

    def send_document(self, document: object, status: int = HTTPStatus.OK) -> None:
        """Send one JSON document as the whole answer."""
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_event(self, document: object) -> None:
        """Send one event of a stream; the first opens it."""
        if not self._opened:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._opened = True
        self._send_chunk(f"data: {json.dumps(document)}\n\n".encode())

    def end_stream(self) -> None:
        """End a stream as OpenAI's do."""
        self._send_chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def client_has_gone(self) -> bool:
        """Tell whether the other side has closed the connection, without reading from it."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def _send_chunk(self, text: bytes) -> None:
        self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
        self.wfile.flush()

    def _check_key(self) -> None:
        if self.server.key is None:
            return
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.server.key.encode()):
            raise Refusal(HTTPStatus.UNAUTHORIZED, "wrong key", "authentication_error")

    def _read_body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > _MAX_BODY_BYTES:
            self.close_connection = True
            raise invalid("the length of the body is missing or absurd")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise invalid(f"the body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise invalid("the body is not a JSON object")
        return body

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse, also in the middle of a stream, which then has no regular end."""
        try:
            if self._opened:
                self.send_event(refusal.body)
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.send_document(refusal.body, refusal.status)
        except OSError:
            self.close_connection = True


def _not_found(path: str) -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, f"no such path: {path}", "not_found_error")
