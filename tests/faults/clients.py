"""Clients that go away, hardly read, or ask for too much."""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from tests.fakes.installation import Installation, wait_until
from tests.faults.asking import MODEL, SMALL, ask, chat, is_whole, scripted, streaming, works
from tests.faults.fault import Fault, Outcome, kept, lost_since
from tests.faults.place import Place
from tests.faults.stand_ins import with_engine

TIMES = 7
STOPS_WITHIN_S = 0.5
"""Five times what is wanted of an idle machine, for a busy one."""

CHUNKS = 40_000
"""About 6 MB, which no socket's buffers hold."""

SLOWLY_S = 3.0
OTHERS_WITHIN_S = 1.0


def goes_away(place: Place) -> Outcome:
    here = place.install()
    here.ok("up", *SMALL)
    before = kept(here)

    times = [stopped_after(here) for _ in range(TIMES)]

    median_s = statistics.median(times)
    assert median_s < STOPS_WITHIN_S, times
    wait_until(lambda: here.model()["requests"]["active"] == 0, "the daemon lets go")
    saw = f"its generation stops within {1000 * median_s:.0f} ms (median of {TIMES})"
    return Outcome(saw, lost_since(before, here))


def stopped_after(here: Installation) -> float:
    """Hang up amid a stream; return the seconds until llama.cpp's own slot is free."""
    (engine,) = (here.state / "sockets").glob("*.sock")
    with streaming(here):
        assert works(engine)
    at = time.monotonic()
    while works(engine):
        assert time.monotonic() - at < 30.0, "it stops at all"
    return time.monotonic() - at


def reads_slowly(place: Place) -> Outcome:
    here = place.install()
    with_engine(here)
    here.ok("up")
    before = kept(here)

    with reading_slowly(here) as slow:
        until = time.monotonic() + SLOWLY_S
        waited = []
        while time.monotonic() < until:
            began = time.monotonic()
            answer = ask(here)
            assert answer.status == 200, answer
            waited.append(answer.at - began)
        assert here.model()["requests"]["active"] == 1, "the engine waits for it to read"
        slow.settimeout(30)
        rest = b"".join(iter(lambda: slow.recv(1 << 20), b""))

    assert max(waited) < OTHERS_WITHIN_S, sorted(waited)[-3:]
    assert b"data: [DONE]" in rest[-100:], rest[-100:]
    saw = f"others wait {1000 * statistics.median(waited):.0f} ms, at most {1000 * max(waited):.0f}"
    return Outcome(f"{saw}; once it reads on, it has every byte", lost_since(before, here))


@contextmanager
def reading_slowly(here: Installation) -> Iterator[socket.socket]:
    """Ask for a long stream, and read one byte of it a second while the block runs."""
    body = chat(scripted(chunks=CHUNKS), model=MODEL, tokens=CHUNKS, stream=True)
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{here.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        "Connection: close\r\n\r\n"
    )
    enough = threading.Event()
    with socket.socket() as connection, ThreadPoolExecutor(1) as pool:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", here.port))
        connection.sendall(head.encode() + data)
        reader = pool.submit(
            lambda: [connection.recv(1) for _ in iter(lambda: enough.wait(1), True)]
        )
        try:
            yield connection
        finally:
            enough.set()
            reader.result(30)


def asks_too_long(place: Place) -> Outcome:
    here = place.install()
    here.ok("up", *SMALL)
    before = kept(here)

    refused = ask(here, "word " * 600)

    assert (refused.status, refused.headers["x-should-retry"]) == (400, "false"), refused
    assert refused.body["error"]["code"] == "context_length_exceeded", refused
    assert "tokens, the context holds 512" in refused.error, refused
    saw = "400 `context_length_exceeded`: " + refused.error.splitlines()[0]
    return Outcome(saw, lost_since(before, here))


def queue_full(place: Place) -> Outcome:
    here = place.install("[supervision]\nmax_requests = 2\n")
    with_engine(here)
    here.ok("up")
    before = kept(here)

    slow = scripted(chunks=20, delay_s=0.1)
    with streaming(here, slow) as first, streaming(here, slow) as second:
        refused = ask(here)
        whole = [is_whole(stream.rest()) for stream in (first, second)]

    assert refused.status == 429, refused
    assert int(refused.headers["Retry-After"]) > 0, refused
    assert refused.headers["x-should-retry"] == "true", refused
    assert whole == [True, True]
    saw = "429 with Retry-After; the two that were there before end as they should"
    return Outcome(saw, lost_since(before, here))


FAULTS = (
    Fault("client disconnects amid a stream", "its socket is closed", goes_away),
    Fault("client that hardly reads", "one byte a second of a stream of 6 MB", reads_slowly),
    Fault("request longer than the context", "600 words for 512 tokens", asks_too_long),
    Fault("queue full", "a third request where `max_requests = 2`", queue_full),
)
