"""A client that does not read, or is gone, keeps neither slot nor memory; nor does a strange body."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from localllm.errors import BadRequest
from localllm.gateway.bodies import MEMORY
from localllm.gateway.connection import Limits
from localllm.gateway.requests.document import parse_document
from tests.fakes.house import CHAT, DEADLINE_S, House, a_house, asking

pytestmark = pytest.mark.anyio


def a_deaf_client(
    house: House, path: str, body: dict[str, Any], more: bytes = b""
) -> socket.socket:
    """Ask, and read nothing of the answer."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", house.port))
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    one.setblocking(True)
    one.sendall(head.encode() + text + more)
    return one


async def in_flight_after(house: House, clients: list[socket.socket], wait_s: float) -> int:
    (hosted,) = house.fleet.instances()
    with anyio.move_on_after(wait_s):
        await anyio.sleep(0.3)
        while hosted.in_flight:
            await anyio.sleep(0.02)
    left = hosted.in_flight
    for client in clients:
        client.close()
    return left


async def test_a_client_that_reads_nothing_of_a_long_opening_loses_its_slot(tmp_path: Path) -> None:
    async with a_house(tmp_path, max_body_mib=16, limits=Limits(unread_s=0.3)) as house:
        await house.ready()
        body = {"model": "small", "instructions": "x" * (8 << 20), "input": "hi", "stream": True}
        client = await anyio.to_thread.run_sync(a_deaf_client, house, "/v1/responses", body)

        assert await in_flight_after(house, [client], 4) == 0


async def test_a_client_that_reads_nothing_of_a_streams_end_loses_its_slot(tmp_path: Path) -> None:
    """What an opening says twice, the last event says once more: sockets take some 2.7 MB unread."""
    async with a_house(tmp_path, max_body_mib=16, limits=Limits(unread_s=0.3)) as house:
        await house.ready()
        body = {"model": "small", "instructions": "x" * 1_150_000, "input": "hi", "stream": True}
        client = await anyio.to_thread.run_sync(a_deaf_client, house, "/v1/responses", body)

        assert await in_flight_after(house, [client], 4) == 0


async def test_a_client_that_pipelines_and_goes_ends_its_generation(tmp_path: Path) -> None:
    async with a_house(tmp_path) as house:
        await house.ready()
        more = f"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n\r\n".encode() * 200
        client = a_deaf_client(house, CHAT, asking(hang=True), more)
        await anyio.sleep(0.3)
        client.close()

        assert await in_flight_after(house, [], 3) == 0


def test_a_member_that_is_there_twice_is_found_in_linear_time() -> None:
    many = ",".join(f'"k{n}":0' for n in range(20_000))
    began = time.process_time()

    with pytest.raises(BadRequest, match="twice"):
        parse_document(f'{{{many},"z":0,"z":0}}'.encode())

    assert time.process_time() - began < 1.0  # it took 2.6 s, and 4 times that with twice as many


async def test_a_whole_answer_that_nobody_reads_is_not_held_for_ever(tmp_path: Path) -> None:
    chunks = 4_000_000
    async with a_house(tmp_path, limits=Limits(unread_s=0.3)) as house:
        await house.ready()
        client = await anyio.to_thread.run_sync(a_deaf_client, house, CHAT, asking(chunks=chunks))
        await anyio.sleep(0.1)

        def what_comes() -> int:
            client.settimeout(10)
            size = 0
            try:
                while piece := client.recv(1 << 16):
                    size += len(piece)
            except ConnectionResetError:
                pass
            return size

        await in_flight_after(house, [], 4)
        await anyio.sleep(1.5)
        assert await anyio.to_thread.run_sync(what_comes) < len(" word") * chunks
        client.close()


async def test_the_bodies_of_all_requests_together_have_a_bound(tmp_path: Path) -> None:
    async with a_house(tmp_path, max_body_mib=1) as house:
        await house.ready()
        memory = house.app[MEMORY]
        memory.most_bytes = lambda: 100_000
        held = await anyio.to_thread.run_sync(
            a_deaf_client, house, CHAT, {**asking(hang=True), "user": "x" * 60_000}
        )
        await house.until("hang")

        status, headers, text = await house.ask({**asking(), "user": "y" * 60_000})
        held.close()
        with anyio.fail_after(DEADLINE_S):
            while memory.held_bytes:
                await anyio.sleep(0.01)
        again, _, _ = await house.ask({**asking(), "user": "y" * 60_000})

    assert (status, again) == (503, 200)
    assert (headers["Retry-After"], headers["x-should-retry"]) == ("5", "true")
    assert b"There is no memory for this body now" in text
