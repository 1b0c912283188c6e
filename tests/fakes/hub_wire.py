"""How the fake hub answers, byte by byte, and with which faults. Knows no routes."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

from tests.fakes.hub_faults import Fault, Pace, Stage
from tests.fakes.hub_repository import HubFile
from tests.fakes.hub_state import Asked, FakeHub

_PIECE_BYTES = 1 << 20
_PACED_PIECE_BYTES = 64 << 10
_FLIPPED = bytes(255 - value for value in range(256))
_NO_FAULT = Fault()


class Server(ThreadingHTTPServer):
    """A thread for each connection; all of them end with it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Listen no more, and let no connection live that clients keep for later."""
        super().server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients come and go, and so do faults."""


class Gone(Exception):
    """The connection is to be closed at once."""


class Wire(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host = ""

    def __init__(self, hub: FakeHub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def handle(self) -> None:
        if self.hub.send_buffer_bytes is not None:
            size = self.hub.send_buffer_bytes
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        with self.hub.connected(), suppress(OSError, ValueError):
            super().handle()

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def answer(self) -> None:
        """Answer the request; for those who know the routes."""
        raise NotImplementedError

    def _answer(self) -> None:
        sent = self.headers.get("Authorization")
        self.token = sent.removeprefix("Bearer ") if sent else None
        self.asked = Asked(
            self.host, self.command, self.path, self.headers.get("Range"), self.token
        )
        self.hub.saw(self.asked)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.hub.answers is not None:
                status, body = self.hub.answers
                self.send(status, body, {"Content-Type": "text/html"})
            else:
                self.answer()
        except (Gone, OSError):
            self.close_connection = True

    def fails(self, at: Stage, *names: str) -> Fault:
        """Meet a fault; one that is an answer in itself is given at once.

        Raises:
            Gone: It was given, and the connection is of no more use.
        """
        fault = self.hub.meet(at, self.command, *names) or _NO_FAULT
        if fault.silent and fault.cut_after is None:
            self._be_silent()
        if fault.status is not None:
            self.send(fault.status, fault.body.encode(), fault.headers)
            self.close_connection = True
            raise Gone
        return fault

    def send_file(self, found: HubFile, headers: Mapping[str, str]) -> None:
        """Answer with a file, or the part of it that was asked for."""
        fault = self.fails(Stage.BODY, found.path, found.repository) if self._is_get else _NO_FAULT
        if fault.location is not None:
            self.send(302, b"", {"Location": fault.location or self.path})
            return
        etag = f'"{fault.etag or found.etag}"'
        headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
        start, end = 0, found.size
        part = None if fault.whole else self._range(found.size, etag)
        if part is not None:
            start, end = part
            if start >= found.size:
                self.send(416, b"", {"Content-Range": f"bytes */{found.size}"})
                return
            total = found.size + fault.total_off
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{total}"}
        self._begin(206 if part else 200, end - start + fault.length_off, headers)
        if self._is_get:
            self._send_bytes(found, start, end, fault)

    @property
    def _is_get(self) -> bool:
        return self.command != "HEAD"

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """Read which part was asked for; None for all of it."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or "")
        if not asked or self.hub.ignores_ranges or self.headers.get("If-Range", etag) != etag:
            return None
        if not asked[1]:
            return max(0, size - int(asked[2] or 0)), size
        return int(asked[1]), min(size, int(asked[2] or size) + 1)

    def _send_bytes(self, found: HubFile, start: int, end: int, fault: Fault) -> None:
        own_pace = Pace(fault.bytes_per_s)
        stop = end if fault.cut_after is None else min(end, start + fault.cut_after)
        at = start
        with found.file.open("rb") as opened, self.hub.transfer():
            while at < stop:
                wanted = min(self._piece_bytes(fault), stop - at)
                allowed, is_cut = self.hub.claim(found.name, wanted)
                for pace in (self.hub.pace, own_pace):
                    pace.wait(allowed)
                self._send_claimed(found, opened, at, allowed, wrong=fault.wrong)
                at += allowed
                if is_cut:
                    raise Gone
        if fault.silent:
            self._be_silent()
        if fault.cut_after is not None and fault.reset:
            self._reset()
        if stop < end or fault.length_off:
            raise Gone

    def _piece_bytes(self, fault: Fault) -> int:
        rates = [rate for rate in (self.hub.bytes_per_s, fault.bytes_per_s) if rate is not None]
        if not rates:
            return _PIECE_BYTES
        return max(1, min(_PACED_PIECE_BYTES, int(min(rates) / 20)))

    def _send_claimed(
        self, found: HubFile, opened: BinaryIO, at: int, count: int, *, wrong: bool
    ) -> None:
        left = count
        try:
            while left:
                left -= self._send_some(opened, at + count - left, left, wrong=wrong)
        finally:
            if left:
                self.hub.refund(found.name, left)

    def _send_some(self, opened: BinaryIO, at: int, count: int, *, wrong: bool) -> int:
        if not wrong:
            sent = os.sendfile(self.connection.fileno(), opened.fileno(), at, count)
            if not sent:
                raise Gone  # the file has become shorter
            return sent
        opened.seek(at)
        sent = self.connection.send(opened.read(count).translate(_FLIPPED))
        return int(sent)

    def _be_silent(self) -> None:
        """Wait until the client has left, or the server ends."""
        while not self.hub.over.wait(0.02):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                break
        raise Gone

    def _reset(self) -> None:
        """Close with RST, as if the way were broken."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())
        raise Gone

    def send_json(self, value: object, headers: Mapping[str, str] | None = None) -> None:
        told = {"Content-Type": "application/json", **(headers or {})}
        self.send(200, json.dumps(value).encode(), told)

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._begin(status, len(body), headers)
        if self._is_get:
            self.wfile.write(body)
            self.hub.sends(len(body))

    def _begin(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
