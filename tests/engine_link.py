"""HTTP straight to an engine, over its socket or its port, for tests of what is behind the gateway."""

from __future__ import annotations

import socket
from http.client import HTTPConnection

from localllm.engines.base import Endpoint

_PATIENCE_S = 200.0
"""For what takes seconds: only a test that has failed gets there."""


class EngineLink(HTTPConnection):
    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__("127.0.0.1", endpoint.port or 0, timeout=_PATIENCE_S)
        self._path = endpoint.socket

    def connect(self) -> None:
        if self._path is None:
            super().connect()
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
