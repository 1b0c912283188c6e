"""Where the screen has all from: the daemon, found anew whenever it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from localllm.api.sync_client import DaemonClient, not_running, require_daemon
from localllm.errors import LocalLLMError

T = TypeVar("T")


class Source:
    """The daemon of one installation; used from worker threads alone, since every call waits.

    A restarted daemon has another port and another token: each call reads them anew.

    Args:
        file: In which the daemon says who it is.
        start: Starts one, and returns when it answers.
    """

    def __init__(self, file: Path, start: Callable[[], None]) -> None:
        self._file = file
        self.start = start
        self._given: WeakSet[DaemonClient] = WeakSet()
        self._lock = threading.Lock()
        self._is_closed = False

    def client(self) -> DaemonClient:
        """Find it.

        Raises:
            NotRunning: There is none.
        """
        client = require_daemon(self._file)
        with self._lock:
            if self._is_closed:
                raise not_running("the screen is being closed")
            self._given.add(client)
        return client

    def ask(self, question: Callable[[DaemonClient], T]) -> T:
        """Ask it something.

        Raises:
            NotRunning: Nobody answers.
            LocalLLMError: Whatever it answers with.
        """
        return question(self.client())

    def answer(self, question: Callable[[DaemonClient], T]) -> T | LocalLLMError:
        """Ask it something; what it refuses is an answer, too: a message carries either."""
        try:
            return self.ask(question)
        except LocalLLMError as error:
            return error

    def close(self) -> None:
        """End every call under way: a thread that waits for a silent daemon would keep the screen."""
        with self._lock:
            self._is_closed = True
            given = tuple(self._given)
        for client in given:
            client.close()
