"""A stream that a thread reads, and that the screen may end at any moment."""

from __future__ import annotations

from threading import Event, Lock

from localllm.api.sync_client import DaemonClient
from localllm.errors import LocalLLMError

_AGAIN_S = 2.0


class Reading:
    """Belongs to one thread; only `end` is for others, and what it leaves to be looked at."""

    def __init__(self) -> None:
        self._client: DaemonClient | None = None
        self._over = Event()
        self._lock = Lock()
        self.error: LocalLLMError | None = None
        """Why nothing comes at the moment."""

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def begin(self, client: DaemonClient) -> DaemonClient:
        """Take the client whose stream is read next."""
        with self._lock:
            self._client = client
            if self.is_over:
                client.close()
        return client

    def end(self) -> None:
        """Have whoever reads stop at once: its connection is closed under it."""
        with self._lock:
            self._over.set()
            if self._client is not None:
                self._client.close()

    def rest(self) -> None:
        """Wait before another try."""
        self._over.wait(_AGAIN_S)
