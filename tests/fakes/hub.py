"""A hub on loopback, close to the wire of huggingface.co: the real huggingface_hub talks to it.

Files are sparse, so one of 40 GB costs nothing. It counts requests and the bytes of bodies that it
sends, and can be told to refuse, to ignore ranges, or to drop a connection in the middle.
Source: huggingface_hub 2.4 (hf_api.py, file_download.py, utils/_http.py) and hf.co/docs/hub/api.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

PAGE = 2
"""Entries of one page of a tree; the real hub sends 1000."""

LFS_FROM_BYTES = 1 << 20
PIECE_BYTES = 64 << 10


@dataclass
class FakeRepository:
    """A repository's files lie in a folder; each branch and commit shows them all."""

    name: str
    folder: Path
    commit: str = "c0ffee" + "0" * 34
    tags: list[str] = field(default_factory=list)
    is_private: bool = False
    is_gated: bool = False
    """Listed for everybody, but its files are for those who send a token alone."""

    def put(self, path: str, data: bytes, size: int | None = None) -> Path:
        """Add a file; with `size` it is that long, and a hole after `data`."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as opened:
            opened.write(data)
            opened.truncate(size or len(data))
        return file

    def paths(self) -> list[str]:
        return sorted(
            f.relative_to(self.folder).as_posix() for f in self.folder.rglob("*") if f.is_file()
        )

    def size(self, path: str) -> int:
        return (self.folder / path).stat().st_size

    def etag(self, path: str) -> str:
        """Stand in for the contents' hash, which of 40 GB would take too long."""
        text = f"{self.name}/{path} {self.size(path)} {(self.folder / path).stat().st_mtime_ns}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return digest if self.size(path) >= LFS_FROM_BYTES else digest[:40]

    def entry(self, path: str) -> dict[str, object]:
        """One line of a tree."""
        known: dict[str, object] = {
            "type": "file",
            "path": path,
            "oid": self.etag(path)[:40],
            "size": self.size(path),
        }
        if self.size(path) >= LFS_FROM_BYTES:
            lfs = {"oid": self.etag(path), "size": self.size(path), "pointerSize": 135}
            known |= {"lfs": lfs, "xetHash": self.etag(path)}
        return known

    def sibling(self, path: str, *, sizes: bool) -> dict[str, object]:
        """One file of a model's description."""
        if not sizes:
            return {"rfilename": path}
        found = {"rfilename": path, "blobId": self.etag(path)[:40], "size": self.size(path)}
        if self.size(path) >= LFS_FROM_BYTES:
            lfs = {"sha256": self.etag(path), "size": self.size(path), "pointerSize": 135}
            found["lfs"] = lfs
        return found


@dataclass
class FakeHub:
    """What the server serves, and what it saw."""

    root: Path
    repositories: dict[str, FakeRepository] = field(default_factory=dict)
    url: str = ""
    requests: list[str] = field(default_factory=list)
    """Method and target of each, in order."""

    tokens: set[str | None] = field(default_factory=set)
    sent_bytes: int = 0
    """Of bodies; a client may have closed before it read them all."""

    ignores_ranges: bool = False
    dies_after_bytes: int | None = None
    """Send no more than so many in all, and close the connection in the middle of a file."""

    answers: tuple[int, bytes] | None = None
    """Answer everything with this status and body: a broken hub, or a login page."""

    token: str = "hf_valid"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, **options: object) -> FakeRepository:
        folder = self.root / name.replace("/", "--")
        folder.mkdir(parents=True)
        self.repositories[name] = FakeRepository(name, folder, **options)  # type: ignore[arg-type]
        return self.repositories[name]

    @property
    def is_dead(self) -> bool:
        limit = self.dies_after_bytes
        return limit is not None and self.sent_bytes >= limit

    def saw(self, request: str, token: str | None) -> None:
        with self._lock:
            self.requests.append(request)
            self.tokens.add(token)

    def sends(self, count: int) -> None:
        with self._lock:
            self.sent_bytes += count

    def forget(self) -> None:
        """Count anew."""
        with self._lock:
            self.requests, self.sent_bytes = [], 0


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


_ROUTES = (
    (r"/api/models/(?P<name>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?", "describe"),
    (r"/api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", "tree"),
    (r"/api/models/(?P<name>[^/]+/[^/]+)/paths-info/(?P<revision>[^/]+)", "paths_info"),
    (r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    (r"/storage/(?P<name>[^/]+/[^/]+)/(?P<path>.+)", "storage"),
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: FakeHub, *args: object) -> None:
        self.hub = hub
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        sent = self.headers.get("Authorization")
        self.token = sent.removeprefix("Bearer ") if sent else None
        self.hub.saw(f"{self.command} {self.path}", self.token)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.hub.answers is not None:
            status, body = self.hub.answers
            self._send(status, body, {"Content-Type": "text/html"})
            return
        try:
            self._route()
        except _Refused as error:
            headers = {"X-Error-Code": error.code, "X-Error-Message": error.message}
            body = json.dumps({"error": error.message}).encode()
            self._send(error.status, body, {k: v for k, v in headers.items() if v})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self) -> None:
        target = urlsplit(self.path)
        self.query = parse_qs(target.query)
        for pattern, verb in _ROUTES:
            found = re.fullmatch(pattern, target.path)
            if found is not None:
                parts = {k: unquote(v) if v else "" for k, v in found.groupdict().items()}
                repository = self._repository(parts["name"], parts.get("revision", ""))
                serve: Callable[..., None] = getattr(self, f"_{verb}")
                serve(repository, parts.get("path", ""))
                return
        raise _Refused(404, "", "Sorry, we can't find the page you are looking for.")

    def _repository(self, name: str, revision: str) -> FakeRepository:
        if self.token is not None and self.token != self.hub.token:
            raise _Refused(401, "", "Invalid credentials in Authorization header")
        found = self.hub.repositories.get(name)
        if found is None or (found.is_private and self.token is None):
            # without a token the hub does not tell a private repository from none
            if self.token is None:
                raise _Refused(401, "RepoNotFound", "Invalid username or password.")
            raise _Refused(404, "RepoNotFound", "Repository not found")
        if revision not in {"", "main", found.commit}:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _describe(self, repository: FakeRepository, _path: str) -> None:
        sizes = "blobs" in self.query
        self._send_json(
            {
                "_id": "0" * 24,
                "id": repository.name,
                "modelId": repository.name,
                "sha": repository.commit,
                "private": repository.is_private,
                "gated": "auto" if repository.is_gated else False,
                "disabled": False,
                "tags": repository.tags,
                "siblings": [repository.sibling(p, sizes=sizes) for p in repository.paths()],
            }
        )

    def _tree(self, repository: FakeRepository, path: str) -> None:
        below = [p for p in repository.paths() if p.startswith(f"{path}/" if path else "")]
        first = int(self.query.get("cursor", ["0"])[0])
        page = [repository.entry(p) for p in below[first : first + PAGE]]
        headers = {}
        if first + PAGE < len(below):
            target = urlsplit(self.path).path
            following = f"{self.hub.url}{target}?recursive=True&cursor={first + PAGE}"
            headers["Link"] = f'<{following}>; rel="next"'
        self._send_json(page, headers)

    def _paths_info(self, repository: FakeRepository, _path: str) -> None:
        sent = self.body.decode()
        wanted = json.loads(sent)["paths"] if sent.startswith("{") else parse_qs(sent)["paths"]
        self._send_json([repository.entry(p) for p in wanted if p in repository.paths()])

    def _resolve(self, repository: FakeRepository, path: str) -> None:
        if repository.is_gated and self.token is None:
            message = f"Access to model {repository.name} is restricted."
            raise _Refused(401, "GatedRepo", message)
        if path not in repository.paths():
            raise _Refused(404, "EntryNotFound", "Entry not found")
        size = repository.size(path)
        headers = {
            "ETag": f'"{repository.etag(path)}"',
            "X-Repo-Commit": repository.commit,
            "X-Linked-Size": str(size),
            "X-Linked-ETag": f'"{repository.etag(path)}"',
        }
        if size < LFS_FROM_BYTES:
            self._send_range(repository, path, headers)
            return
        signed = f"/storage/{repository.name}/{quote(path)}"  # the real one is on another host
        self._send(302, b"", {**headers, "Location": f"{self.hub.url}{signed}"})

    def _storage(self, repository: FakeRepository, path: str) -> None:
        self._send_range(repository, path, {"ETag": f'"{repository.etag(path)}"'})

    def _send_range(self, repository: FakeRepository, path: str, headers: dict[str, str]) -> None:
        size = repository.size(path)
        start, end, status = 0, size, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and not self.hub.ignores_ranges:
            start, end = int(asked[1]), min(size, int(asked[2] or size) + 1)
            if start >= size:
                self._send(416, b"", {"Content-Range": f"bytes */{size}"})
                return
            status = 206
            headers = {**headers, "Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._begin(status, end - start, headers)
        if self.command != "HEAD":
            self._send_file(repository.folder / path, start, end)

    def _send_file(self, file: Path, start: int, end: int) -> None:
        with file.open("rb") as opened:
            opened.seek(start)
            at = start
            while at < end:
                if self.hub.is_dead:
                    self.close_connection = True
                    return
                piece = opened.read(min(PIECE_BYTES, end - at))
                self.wfile.write(piece)
                self.hub.sends(len(piece))
                at += len(piece)

    def _send_json(self, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(value).encode(), headers or {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)
            self.hub.sends(len(body))

    def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


@contextmanager
def serving(root: Path) -> Iterator[FakeHub]:
    """Serve a hub for as long as the block lasts."""
    hub = FakeHub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
