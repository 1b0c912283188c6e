"""A daemon on loopback that answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from localllm import __version__
from localllm.api.daemon_file import DaemonFile, hub_fingerprint, write_daemon_file
from localllm.errors import LocalLLMError

TOKEN = "the-daemons-token"
GOES_AWAY = "GOES_AWAY"
"""An answer that is none: the connection is closed, as by a daemon that ends."""


@dataclass
class ScriptedDaemon:
    answers: dict[str, list[Any]] = field(default_factory=dict)
    """By `METHOD /path`: one after the other, the last one for good; an error is sent as one, bytes as they are."""

    asked: list[tuple[str, Any]] = field(default_factory=list)
    port: int = 0
    moved: threading.Condition = field(default_factory=threading.Condition)

    def will(self, call: str, *answers: Any) -> None:
        self.answers[call] = list(answers)

    def bodies(self, call: str) -> list[Any]:
        return [body for name, body in self.asked if name == call]

    def wait_until_asked(self, call: str, after: str | None = None) -> None:
        """Wait for a call; with `after`, for one behind the first of that."""

        def is_asked() -> bool:
            calls = [name for name, _ in self.asked]
            begun = 0 if after is None else [*calls, after].index(after)
            return call in calls[begun:]

        with self.moved:
            assert self.moved.wait_for(is_asked, timeout=15), self.asked

    def answer(self, call: str, body: Any) -> Any:
        with self.moved:
            self.asked.append((call, body))
            self.moved.notify_all()
            left = self.answers.get(call) or [_unexpected(call)]
            return left.pop(0) if len(left) > 1 else left[0]


def _unexpected(call: str) -> LocalLLMError:
    return LocalLLMError(f"Nobody expects {call}.", why="the test has no answer", fix="add one")


@contextmanager
def a_scripted_daemon(state: Path, environment: Mapping[str, str]) -> Iterator[ScriptedDaemon]:
    """Listen until the block ends.

    Args:
        state: Where daemon.json goes.
        environment: The daemon's, as to the hub.
    """
    daemon = ScriptedDaemon()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(None)

        def do_DELETE(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, body: Any) -> None:
            assert self.headers["Authorization"] == f"Bearer {TOKEN}"
            call = f"{self.command} {self.path.partition('?')[0].removeprefix('/api/v1/')}"
            answer = daemon.answer(call, body)
            if answer == GOES_AWAY:
                self.close_connection = True
                return
            if isinstance(answer, LocalLLMError):
                error = {"message": str(answer), "code": answer.code}
                self._send(answer.http_status, {"error": error})
            else:
                self._send(200, answer)

        def _send(self, status: int, content: Any) -> None:
            text = content if isinstance(content, bytes) else msgspec.json.encode(content)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    daemon.port = server.server_address[1]
    state.mkdir(parents=True, exist_ok=True)
    file = DaemonFile(
        pid=os.getpid(),
        started=0.0,
        port=daemon.port,
        token=TOKEN,
        version=__version__,
        hub=hub_fingerprint(environment),
    )
    write_daemon_file(state / "daemon.json", file)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield daemon
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
