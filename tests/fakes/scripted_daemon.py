"""A daemon over real HTTP that serves a scene: what the screen asks for, and no model.

Runs in a thread. It can be stopped and started again, on another port and with another token, as
a real one is; and it can fall silent.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path

from localllm.api.daemon_file import DaemonFile, write_daemon_file
from tests.fakes.scene import Scene
from tests.fakes.scripted_answers import Answers

_FLOOD_EVERY_S = 0.05


class ScriptedDaemon:
    """Used as a context manager, or with `start` and `stop`.

    Args:
        folder: Gets its daemon.json.
    """

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene = scene
        self.file = folder / "daemon.json"
        self.token = ""
        self.silent = False
        """While it is set, calls are taken and not answered."""

        self.over = threading.Event()
        self.over.set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        assert self._server is not None, "it is started first"
        return self._server.server_address[1]

    def __enter__(self) -> ScriptedDaemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.over.clear()
        self.token = secrets.token_urlsafe(24)
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=lambda: self._server and self._server.serve_forever(0.02), daemon=True
        )
        self._thread.start()
        content = DaemonFile(
            pid=os.getpid(),
            started=self.scene.clock(),
            port=self.port,
            token=self.token,
            version="0.0.0",
        )
        write_daemon_file(self.file, content)

    def stop(self) -> None:
        """End at once, streams and all; a second time does nothing."""
        server, self._server = self._server, None
        if server is None:
            return
        self.over.set()
        self.file.unlink(missing_ok=True)
        with self.scene.changed:
            self.scene.changed.notify_all()
        server.shutdown()
        server.hang_up()
        server.server_close()
        assert self._thread is not None
        self._thread.join()

    def restart(self) -> None:
        """As after a crash: another port, another token."""
        self.stop()
        self.start()

    @contextmanager
    def flooding(self, model: str, per_second: int = 1_000) -> Generator[None]:
        """Have a model's log grow by so many lines a second."""
        done = threading.Event()
        thread = threading.Thread(
            target=_flood, args=(self.scene, model, per_second, done), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _flood(scene: Scene, model: str, per_second: int, done: threading.Event) -> None:
    began, written = time.monotonic(), 0
    while not done.wait(_FLOOD_EVERY_S):
        due = int((time.monotonic() - began) * per_second)
        scene.log(model, [f"slot update: token {n} of a long answer" for n in range(written, due)])
        written = due


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, daemon: ScriptedDaemon) -> None:
        self.daemon = daemon
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), Answers)

    def process_request(self, request, client_address) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request, client_address) -> None:
        """Say nothing of clients that have gone; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
