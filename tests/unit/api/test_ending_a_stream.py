"""A thread that waits for the daemon is let go by another one that closes its client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from localllm.api.daemon_file import DaemonFile
from localllm.api.sync_client import DaemonClient
from localllm.errors import NotRunning

DEADLINE_S = 10.0
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n%s\r\n"


class Silent:
    """Answers with one piece and then says nothing; knows when its client has gone."""

    def __init__(self, header: bytes = b"") -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._header = header
        self.said, self.is_left = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def client(self) -> DaemonClient:
        port = self._listening.getsockname()[1]
        return DaemonClient(DaemonFile(pid=1, started=0, port=port, token="t", version="1"))

    def _serve(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(1 << 16)
            connection.sendall(HEAD % self._header + b"4\r\none\n\r\n")
            self.said.set()
            while connection.recv(1 << 16):
                pass
            self.is_left.set()

    def close(self) -> None:
        self._listening.close()
        self._thread.join(DEADLINE_S)


@pytest.fixture(params=[b"", b"Connection: close\r\n"], ids=["kept open", "the last answer"])
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    server = Silent(request.param)
    yield server
    server.close()


@pytest.mark.parametrize(
    "read",
    [
        lambda client: client.logs("m", lines=1, follow=True),
        lambda client: client.events(follow=True),
        lambda client: client.chat(b"{}"),
    ],
    ids=["logs", "events", "chat"],
)
def test_closing_a_client_ends_what_another_thread_reads(
    silent: Silent, read: Callable[[DaemonClient], Iterator[object]]
) -> None:
    client, errors = silent.client, list[BaseException]()

    def work() -> None:
        try:
            for _ in read(client):
                pass
        except NotRunning as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert silent.said.wait(DEADLINE_S)

    client.close()
    thread.join(DEADLINE_S)

    assert not thread.is_alive()
    assert silent.is_left.wait(DEADLINE_S)


def test_a_closed_client_asks_nothing_any_more(silent: Silent) -> None:
    client = silent.client
    client.close()

    with pytest.raises(NotRunning) as caught:
        client.status()

    assert "this client was closed" in caught.value.why
