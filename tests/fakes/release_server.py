"""The outside on loopback: release archives behind a mirror, and a package index, both with faults.

Everything in it is real: archives and wheels that tar, zip, pip and uv read.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 65_536


@dataclass(slots=True)
class Fault:
    """What one answer does otherwise than it should."""

    cut_at: int | None = None
    """Bytes of the body after which the connection is closed."""

    status: int | None = None
    body: bytes | None = None
    """Sent instead of the file."""

    no_ranges: bool = False
    most: int | None = None
    """Bytes of a part; it is shorter than what was asked for if that is longer."""

    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None
    """Nothing more until it is set, once so many bytes are sent:"""

    hold_at: int = 0


@dataclass(slots=True)
class Outside:
    """What is there, and what was asked for."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    """By path: for the first answer, the second, and so on; after them all is well."""

    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range header of each request."""

    sent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Bytes of bodies, by path."""

    @property
    def mirror(self) -> str:
        return f"http://127.0.0.1:{self.port}/mirror"

    @property
    def index(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"

    def path_of(self, url: str) -> str:
        """Where `url` is seen through the mirror."""
        return "/mirror/" + url.removeprefix("https://")

    def add(self, url: str, content: bytes) -> str:
        """Put a file where `url` is seen through the mirror; return its path here."""
        path = self.path_of(url)
        self.files[path] = content
        return path

    def add_wheel(self, name: str, wheel: bytes, file: str) -> str:
        path = f"/simple/{name}/{file}"
        self.files[path] = wheel
        return path


@contextmanager
def an_outside() -> Iterator[Outside]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    outside = Outside(server.server_address[1])
    server.outside = outside  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        outside: Outside = self.server.outside  # type: ignore[attr-defined]
        outside.asked.append((self.path, self.headers.get("Range")))
        if (page := _index_page(outside, self.path)) is not None:
            self._send(200, page, {"Content-Type": "text/html"})
        elif self.path in outside.files:
            faults = outside.faults[self.path]
            self._file(outside, outside.files[self.path], faults.pop(0) if faults else Fault())
        else:
            self._send(404, b"nothing here", {})

    def _file(self, outside: Outside, content: bytes, fault: Fault) -> None:
        if fault.status is not None:
            self._send(fault.status, b"", fault.headers)
            return
        content = content if fault.body is None else fault.body
        start, status = 0, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        end, headers = len(content), {}
        if asked and not fault.no_ranges:
            start, status = int(asked[1]), 206
            if start >= len(content):
                self._send(416, b"", {})
                return
            end = min(end, int(asked[2] or end) + 1, start + (fault.most or end))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self._send(status, content[start:end], headers, fault, outside)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        fault: Fault | None = None,
        outside: Outside | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        cut = len(body) if fault is None or fault.cut_at is None else fault.cut_at
        try:
            for at in range(0, min(cut, len(body)), _PIECE):
                piece = body[at : min(at + _PIECE, cut)]
                self.wfile.write(piece)
                if outside is not None:
                    outside.sent[self.path] += len(piece)
                if fault is not None and fault.hold is not None and at >= fault.hold_at:
                    fault.hold.wait(60)
        except ConnectionError:
            pass
        if cut < len(body):
            self.close_connection = True


def _index_page(outside: Outside, path: str) -> bytes | None:
    """PEP 503: the files of one project, with their hashes."""
    if not re.fullmatch(r"/simple/[^/]+/", path):
        return None
    names = [p for p in outside.files if p.startswith(path)]
    links = [
        f'<a href="{p}#sha256={hashlib.sha256(outside.files[p]).hexdigest()}">{p.rsplit("/")[-1]}</a>'
        for p in names
    ]
    return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


def a_tar(members: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    """A .tar.gz whose members may be executed, and symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o755, int(time.time())
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return out.getvalue()


def a_wheel(name: str, version: str, members: dict[str, bytes]) -> bytes:
    """A wheel for any Python and any system."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    meta = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    kind = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {**members, f"{info}/METADATA": meta.encode(), f"{info}/WHEEL": kind.encode()}
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as wheel:
        for path, content in {**files, f"{info}/RECORD": record.encode()}.items():
            wheel.writestr(path, content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
