"""Bodies, heads and connections over raw sockets: too long, too slow, packed, cut off, too many."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import anyio
import pytest

from localllm.api.keys import Key, hash_of
from localllm.gateway.access import Rules
from localllm.gateway.bodies import Pace
from localllm.gateway.connection import Limits
from localllm.gateway.unpacking import Unpacking
from tests.fakes.a_gate import BODIES, DEADLINE_S, HANGING, TOKEN, Gate, a_gate, a_head, read_all

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.anyio

BODY = b'{"model": "small", "messages": []}'
MOST = 1 << 16
QUICK = Limits(head_s=0.3, idle_s=2.0, linger_s=0.1)
ALWAYS = (
    b"X-Content-Type-Options: nosniff",
    b"X-Frame-Options: DENY",
    b"Content-Security-Policy: ",
)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The loop that the daemon uses here."""
    from localllm.daemon.running import has_uvloop  # noqa: PLC0415

    return "asyncio", {"use_uvloop": has_uvloop()}


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def chunked(body: bytes, size: int = 1000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def status_of(text: bytes) -> int:
    return int(text.split()[1])


async def answer_of(stream: anyio.abc.SocketStream) -> bytes:
    """Read one answer of a connection that stays open."""
    text = b""
    while True:
        text += await stream.receive()
        head, end, body = text.partition(b"\r\n\r\n")
        counted = re.search(rb"Content-Length: (\d+)", head)
        if end and counted is not None and len(body) == int(counted[1]):
            return text


def error_of(text: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(text.partition(b"\r\n\r\n")[2])["error"]
    return error


def outcome(text: bytes) -> tuple[int, str]:
    return status_of(text), str(error_of(text)["code"])


@pytest.mark.parametrize("path", BODIES)
async def test_a_body_is_read_whole_however_it_comes(path: str) -> None:
    async with a_gate() as gate:
        counted = await gate.said(a_head(length(BODY), path=path) + BODY)
        in_chunks = await gate.said(
            a_head("Transfer-Encoding: chunked", path=path), chunked(BODY, 5)
        )
        in_letters = await gate.said(a_head(length(BODY), path=path), *(bytes([b]) for b in BODY))

        assert [status_of(text) for text in (counted, in_chunks, in_letters)] == [200] * 3
        assert gate.read == [BODY] * 3


async def test_a_body_as_long_as_the_limit_is_read_and_one_byte_more_is_not() -> None:
    exact = b"x" * MOST
    async with a_gate() as gate:
        for more, status in ((b"", 200), (b"x", 413)):
            body = exact + more
            counted = await gate.said(a_head(length(body)) + body)
            in_chunks = await gate.said(a_head("Transfer-Encoding: chunked") + chunked(body))

            assert [status_of(counted), status_of(in_chunks)] == [status, status]
        assert gate.read == [exact, exact]


@pytest.mark.parametrize("size", [MOST + 1, 1 << 40, 1 << 63])
async def test_one_that_says_it_is_too_long_is_refused_before_a_byte_of_it_came(size: int) -> None:
    async with a_gate(replace(QUICK, idle_s=60.0)) as gate:
        text = await gate.said(a_head(f"Content-Length: {size}", close=False))

    assert outcome(text) == (413, "too_large")
    assert b"Connection: close" in text


async def test_one_that_never_ends_is_refused_at_the_limit() -> None:
    async with a_gate(QUICK) as gate, await gate.connect() as stream:
        head = a_head("Transfer-Encoding: chunked", close=False)
        await stream.send(head.replace(b"PORT", str(gate.port).encode()))
        sent = 0
        with anyio.fail_after(DEADLINE_S):
            try:
                while True:
                    await stream.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
                    sent += 1024
                    if sent > 4 * MOST:
                        await anyio.sleep(0.01)
            except anyio.BrokenResourceError:  # it was closed
                pass

        assert gate.read == []


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
    "x-gzip": gzip.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_packed_body_is_unpacked(encoding: str) -> None:
    packed = PACKERS[encoding](BODY)
    async with a_gate() as gate:
        head = a_head(length(packed), f"Content-Encoding: {encoding}")
        in_chunks = a_head("Transfer-Encoding: chunked", f"Content-Encoding: {encoding.upper()}")

        assert status_of(await gate.said(head + packed)) == 200
        assert status_of(await gate.said(in_chunks + chunked(packed, 3))) == 200
        assert gate.read == [BODY, BODY]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize(("size", "status"), [(MOST, 200), (MOST + 1, 413), (64 << 20, 413)])
async def test_the_limit_holds_for_what_comes_out(encoding: str, size: int, status: int) -> None:
    packed = PACKERS[encoding](b"0" * size)
    async with a_gate(most_bytes=MOST) as gate:
        text = await gate.said(a_head(length(packed), f"Content-Encoding: {encoding}") + packed)

        assert status_of(text) == status
        assert [len(body) for body in gate.read] == ([size] if status == 200 else [])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
async def test_of_a_bomb_no_more_is_unpacked_than_shows_that_it_is_one(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, take = list[int](), Unpacking.take

    def counted(self: Unpacking, most_bytes: int) -> bytes:
        got = take(self, most_bytes)
        taken.append(len(got))
        return got

    monkeypatch.setattr(Unpacking, "take", counted)
    packed = PACKERS[encoding](b"0" * (16 << 20))
    async with a_gate(QUICK, most_bytes=MOST) as gate:
        text = await gate.said(a_head(length(packed), f"Content-Encoding: {encoding}") + packed)

    assert (outcome(text), sum(taken)) == ((413, "too_large"), MOST + 1)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"{}" + b, lambda b: b"{" * 50])
async def test_one_that_cannot_be_unpacked_is_a_bad_request(
    encoding: str, damage: Callable[[bytes], bytes]
) -> None:
    broken = damage(PACKERS[encoding](BODY))
    async with a_gate() as gate:
        text = await gate.said(a_head(length(broken), f"Content-Encoding: {encoding}") + broken)

        assert (outcome(text), gate.read) == ((400, "bad_request"), [])


@pytest.mark.parametrize(
    "encoding", ["br", "compress", "gzip, gzip", "aws-chunked", "gzip\r\nContent-Encoding: gzip"]
)
async def test_an_unknown_encoding_is_named_with_the_known_ones(encoding: str) -> None:
    async with a_gate() as gate:
        text = await gate.said(a_head(length(BODY), f"Content-Encoding: {encoding}") + BODY)

        assert (outcome(text), gate.read) == ((415, "unknown_encoding"), [])
        assert "gzip, deflate and zstd" in error_of(text)["message"]


async def test_who_asks_whether_to_send_a_body_is_told_at_once() -> None:
    async with a_gate() as gate, await gate.connect() as stream:
        head = a_head(length(BODY), "Expect: 100-continue")
        with anyio.fail_after(DEADLINE_S):
            await stream.send(head.replace(b"PORT", str(gate.port).encode()))
            first = await stream.receive()
            await stream.send(BODY)
            rest = await read_all(stream)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status_of(rest) == 200


@pytest.mark.parametrize("expected", ["something", "100-continue, x", "caf\xe9", "\xff\xfe"])
async def test_who_expects_anything_else_is_refused_without_being_asked_for_the_body(
    expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    head = a_head(length(BODY), "Expect: @").replace(b"@", expected.encode("latin-1"))
    async with a_gate(QUICK) as gate:
        text = await gate.said(head)

        assert gate.read == []
    assert outcome(text) == (417, "bad_request")
    assert all(header in text for header in ALWAYS)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("pace", "trickle"),
    [(Pace(gap_s=0.1, whole_s=60.0), False), (Pace(gap_s=60.0, whole_s=0.3), True)],
    ids=["no byte", "byte by byte"],
)
async def test_a_body_that_does_not_come_in_time_is_408_and_the_connection_ends(
    pace: Pace, trickle: bool
) -> None:
    async with a_gate(QUICK, pace) as gate, await gate.connect() as stream:
        head = a_head("Content-Length: 1000000000", close=False).replace(b"1000000000", b"60000")

        async def drip() -> None:
            while True:
                try:
                    await stream.send(b" ")
                except anyio.BrokenResourceError:
                    return
                await anyio.sleep(0.02)

        with anyio.fail_after(DEADLINE_S):
            await stream.send(head.replace(b"PORT", str(gate.port).encode()) + b"{")
            async with anyio.create_task_group() as tasks:
                if trickle:
                    tasks.start_soon(drip)
                text = await read_all(stream)
                tasks.cancel_scope.cancel()

        assert (outcome(text), gate.read) == ((408, "too_slow"), [])
        assert b"Connection: close" in text
        assert b"x-should-retry: true" in text


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with a_gate() as gate:
        async with await gate.connect() as stream:
            head = a_head(length(BODY)).replace(b"PORT", str(gate.port).encode())
            await stream.send(head + BODY[:5])
        assert status_of(await gate.said(a_head(length(BODY)) + BODY)) == 200

        assert gate.read == [BODY]
    assert caplog.text == ""


@pytest.mark.parametrize(
    "framing",
    [
        b"zz\r\n",
        b"5\r\nabc\r\n0\r\n\r\n",
        b"-5\r\nabcde\r\n",
        b"ffffffffffffffffff\r\nabc",
        b"3\r\nabc\r\n0\r\nContent-Length: 5\r\nX" + b"y" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_chunks_that_are_none_end_the_connection_and_what_comes_after_is_no_request(
    framing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    head, smuggled = a_head("Transfer-Encoding: chunked", close=False), a_head(length(BODY)) + BODY
    async with a_gate(QUICK) as gate:
        alone = await gate.said(head, framing)
        followed = await gate.said(head, framing, smuggled)

        assert gate.read == []
    assert outcome(alone) == (400, "bad_request")
    statuses = re.findall(rb"HTTP/1\.\d (\d+)", followed)
    assert statuses in ([b"400"], [])  # unread bytes may cut the connection before it is read
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x", b"\r\n" * 5])
async def test_half_a_head_is_closed_after_its_time(sent: bytes) -> None:
    limits = replace(QUICK, idle_s=0.1 if sent == b"" else 60.0)
    async with a_gate(limits) as gate:
        assert await gate.said(sent) == b""


async def test_a_head_that_comes_byte_by_byte_is_closed_all_the_same() -> None:
    async with a_gate(replace(QUICK, idle_s=60.0)) as gate, await gate.connect() as stream:
        with anyio.fail_after(DEADLINE_S):
            with pytest.raises(anyio.BrokenResourceError):
                while True:
                    await stream.send(b"X")
                    await anyio.sleep(0.01)


async def test_half_a_second_head_is_closed_after_its_time_too() -> None:
    request = a_head(length(BODY), close=False) + BODY
    async with a_gate(replace(QUICK, idle_s=60.0)) as gate, await gate.connect() as stream:
        with anyio.fail_after(DEADLINE_S):
            await stream.send(request.replace(b"PORT", str(gate.port).encode()))
            assert status_of(await answer_of(stream)) == 200
            await stream.send(b"POST / HT")
            rest = await read_all(stream)

        assert (rest, gate.read) == (b"", [BODY])


async def test_the_time_for_a_head_does_not_count_for_its_answer() -> None:
    async with a_gate(QUICK) as gate, await gate.connect() as stream:
        head = a_head(method="GET", path=HANGING).replace(b"PORT", str(gate.port).encode())
        await stream.send(head[:10])
        await stream.send(head[10:])
        with anyio.fail_after(DEADLINE_S):
            while not gate.hanging:
                await anyio.sleep(0.005)
        await anyio.sleep(3 * QUICK.head_s)

        assert gate.hanging == 1


async def test_a_connection_that_is_used_again_in_time_stays_and_an_idle_one_is_closed() -> None:
    request = a_head(length(BODY), close=False) + BODY
    async with a_gate(replace(QUICK, idle_s=1.0)) as gate, await gate.connect() as stream:
        with anyio.fail_after(DEADLINE_S):
            for _ in range(3):
                await stream.send(request.replace(b"PORT", str(gate.port).encode()))
                assert status_of(await answer_of(stream)) == 200
            rest = await read_all(stream)

        assert (rest, len(gate.read)) == (b"", 3)


async def connections(
    gate: Gate, opened: AsyncExitStack, count: int
) -> list[anyio.abc.SocketStream]:
    return [await opened.enter_async_context(await gate.connect()) for _ in range(count)]


async def test_one_connection_too_many_takes_the_place_of_the_one_that_was_idle_longest() -> None:
    request = a_head(length(BODY), close=False) + BODY
    async with a_gate(Limits(most=3)) as gate, AsyncExitStack() as opened:
        idle = await connections(gate, opened, 3)
        for stream in idle:  # so that each is known to be there, in this order
            await stream.send(request.replace(b"PORT", str(gate.port).encode()))
            await answer_of(stream)

        assert status_of(await gate.said(a_head(length(BODY)) + BODY)) == 200
        with anyio.fail_after(DEADLINE_S):
            assert await read_all(idle[0]) == b""
        with anyio.move_on_after(0.05) as waited:
            await idle[2].receive()
        assert waited.cancelled_caught  # it is still open


async def test_where_all_are_busy_one_more_is_told_to_come_again() -> None:
    async with a_gate(Limits(most=2)) as gate, AsyncExitStack() as opened:
        head = a_head(method="GET", path=HANGING).replace(b"PORT", str(gate.port).encode())
        for stream in await connections(gate, opened, 2):
            await stream.send(head)
        with anyio.fail_after(DEADLINE_S):
            while gate.hanging < 2:
                await anyio.sleep(0.005)

        text = await gate.said(a_head(length(BODY)) + BODY)
        await opened.aclose()
        with anyio.fail_after(DEADLINE_S):
            while gate.hanging:
                await anyio.sleep(0.005)
        again = await gate.said(a_head(length(BODY)) + BODY)

    assert outcome(text) == (503, "not_ready")
    assert b"x-should-retry: true" in text
    assert b"Retry-After: " in text
    assert all(header in text for header in ALWAYS)
    assert status_of(again) == 200


@pytest.mark.parametrize(
    "request_",
    [
        a_head("X: " + "y" * 9000, method="GET"),
        a_head(method="GET", path="/" + "y" * 9000),
        a_head(*(f"X-{i}: y" for i in range(300)), method="GET"),
        a_head("Authorization: Bearer sk-local-\x01secret", method="GET"),
        a_head("Content-Length: x"),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /sk-local-secret\x00 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"{}\r\n\r\n",
    ],
    ids=["long", "long path", "many", "control", "length", "tls", "nul", "version", "json"],
)
async def test_what_is_no_http_is_a_400_in_json_with_a_clean_log(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_gate(QUICK) as gate:
        text = await gate.said(request_)

        assert gate.read == []
    assert outcome(text) == (400, "bad_request")
    assert b"sk-local" not in text
    assert all(header in text for header in ALWAYS)
    assert "sk-local" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [("X: y", 426), ("Origin: http://evil.example", 403), ("Sec-Fetch-Site: cross-site", 403)],
)
async def test_a_web_socket_gets_426_after_the_rules_for_everybody(
    line: str, expected: int
) -> None:
    lines = (
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: aGVsbG8gd29ybGQhISEhIQ==",
    )
    async with a_gate() as gate:
        head = a_head(*lines, line, method="GET", path="/v1/responses", close=False)
        text = await gate.said(head.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade, close\r\n\r\n"))

    assert status_of(text) == expected
    assert (b"\r\nUpgrade: " in text) == (expected == 426)


async def test_an_error_has_the_shape_of_the_api_that_was_called() -> None:
    async with a_gate(QUICK) as gate:
        openai, anthropic = [
            json.loads(
                (await gate.said(a_head("Content-Length: 100000", path=path))).split(b"\r\n\r\n")[1]
            )
            for path in BODIES
        ]

    assert openai["error"]["code"] == "too_large"
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "request_too_large")


async def test_the_handler_knows_who_asks() -> None:
    key = Key(id="a", name="ann", sha256=hash_of("k"), created=0.0, expires=None, models=None, per_minute=None)  # fmt: skip

    def rules(port: int) -> Rules:
        return Rules(port, frozenset(), TOKEN, keys=(key,))

    async with a_gate(rules=rules) as gate:
        callers = []
        for line in ("X: y", "X-Api-Key: other", "X-Api-Key: k", "Authorization: Bearer k"):
            text = await gate.said(a_head(length(BODY), line) + BODY)
            callers.append(json.loads(text.partition(b"\r\n\r\n")[2]))

    assert [one["caller"] for one in callers] == ["local", "local", "ann", "ann"]
    assert {one["sha256"] for one in callers} == {hashlib.sha256(BODY).hexdigest()}
