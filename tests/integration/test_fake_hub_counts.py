"""The fake hub is as slow as it is told to be, cuts where it should, and counts what it sent."""

from __future__ import annotations

import http.client
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.fakes.hub import FakeHub, Fault, serving
from tests.fakes.installation import wait_until
from tests.integration.ask_once import ask

REPO = "me/Qwen-GGUF"
DATA = random.Random(2).randbytes(300_000)
PATH = "m-Q4_0.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "served") as hub:
        hub.add(REPO).put(PATH, DATA)
        yield hub


def address(hub: FakeHub) -> str:
    """Where the storage has the file."""
    return ask(f"{hub.url}/{REPO}/resolve/main/{PATH}").headers["Location"]


def test_cuts_at_random_bytes_come_as_often_as_asked_and_at_the_same_bytes_again(
    hub: FakeHub,
) -> None:
    where = address(hub)

    def starts() -> list[int]:
        hub.cut_at_random(10, len(DATA), seed=3)
        found, body = [0], b""
        while len(body) < len(DATA):
            body += ask(where, Range=f"bytes={len(body)}-").body
            found.append(len(body))
        assert body == DATA
        return found

    first, second = starts(), starts()

    assert first == second
    assert (len(first), hub.cuts_left) == (12, 0)
    assert hub.sent_of[f"{REPO}/{PATH}"] == 2 * len(DATA)


@pytest.mark.parametrize("clients", [1, 3])
def test_the_pace_is_shared_by_all_connections(hub: FakeHub, clients: int) -> None:
    hub.bytes_per_s = 3_000_000
    where = address(hub)
    began = time.monotonic()

    with ThreadPoolExecutor(clients) as pool:
        bodies = [got.body for got in pool.map(ask, [where] * clients)]

    took_s = time.monotonic() - began
    assert bodies == [DATA] * clients
    assert 0.1 * clients * 0.9 < took_s < 0.1 * clients + 1.5


def test_one_connection_can_be_slow_while_others_are_not(hub: FakeHub) -> None:
    hub.fail(Fault(bytes_per_s=1000))
    where = urlsplit(address(hub))
    slow = http.client.HTTPConnection(where.hostname or "", where.port)
    slow.request("GET", f"{where.path}?{where.query}")
    wait_until(lambda: hub.sending == 1, "the slow one is being sent")

    assert ask(where.geturl()).body == DATA

    wait_until(lambda: hub.sending == 1, "the other one has ended")
    assert hub.most_sending == 2
    slow.close()
    wait_until(lambda: hub.sending == 0, "the slow one has ended")


def test_bytes_are_counted_only_if_they_were_sent(hub: FakeHub) -> None:
    hub.repositories[REPO].put("large.gguf", b"GGUF", 30_000_000)
    hub.send_buffer_bytes = 64 << 10
    where = urlsplit(ask(f"{hub.url}/{REPO}/resolve/main/large.gguf").headers["Location"])
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        client.connect((where.hostname, where.port))
        client.sendall(f"GET {where.path}?{where.query} HTTP/1.1\r\n\r\n".encode())
        assert client.recv(1 << 10)

    wait_until(lambda: hub.connections == 0, "the hub has seen that the client left")

    assert 0 < hub.sent_of[f"{REPO}/large.gguf"] < 1 << 20


def test_requests_are_counted_with_range_status_and_token(hub: FakeHub) -> None:
    where = address(hub)
    hub.forget()

    ask(where, Range="bytes=0-9")
    ask(where, method="HEAD", Authorization="Bearer hf_leaked")

    assert [(a.host, a.method, a.range, a.token, a.status) for a in hub.log] == [
        ("storage", "GET", "bytes=0-9", None, 206),
        ("storage", "HEAD", None, "hf_leaked", 400),
    ]
    assert hub.sent_bytes == 10
