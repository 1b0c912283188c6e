"""A stream's client is never left without a word, and never keeps a slot that it does not use."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import anyio
import pytest

from localllm.gateway.client_stream import Patience
from localllm.gateway.connection import Limits
from tests.fakes.house import CHAT, DEADLINE_S, House, a_house, a_plan, asking

pytestmark = pytest.mark.anyio


def set_patience(monkeypatch: pytest.MonkeyPatch, **patience: float) -> None:
    monkeypatch.setattr("tests.fakes.house.PATIENCE", Patience(**patience))


async def test_an_answer_that_pauses_shows_life_between_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, open_after_s=0.05, silence_s=0.1)
    async with a_house(tmp_path) as house:
        await house.ready()

        _, _, text = await house.ask({**asking(chunks=2, delay_s=0.5), "stream": True})

    first, second, *_ = text.split(b" word")
    assert b": waiting for the model\n\n" in second
    assert first.count(b"data: ") == 1


async def test_no_life_is_shown_in_the_middle_of_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, open_after_s=0.05, silence_s=0.05)
    whole = [b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"]
    pieces = [whole[0][:9].hex(), whole[0][9:].hex(), whole[1].hex()]
    async with a_house(tmp_path) as house:
        await house.ready()

        _, _, text = await house.ask({**asking(pieces=pieces, delay_s=0.3), "stream": True})

    assert whole[0] in text
    assert text.endswith(whole[1])


async def test_a_client_that_reads_nothing_is_cut_off_and_its_slot_is_free(tmp_path: Path) -> None:
    async with a_house(tmp_path, limits=Limits(unread_s=0.5)) as house:
        hosted = await house.ready(a_plan())
        with a_request_that_is_not_read(house):
            with anyio.fail_after(DEADLINE_S):
                while not hosted.in_flight:
                    await anyio.sleep(0.01)
                while hosted.in_flight:
                    await anyio.sleep(0.01)

    assert any(one.get("gone") for one in house.happened())


@pytest.mark.timeout(60)  # the sockets of a busy machine take their time to fill up and to drain
async def test_a_client_that_reads_slowly_is_not_cut_off(tmp_path: Path) -> None:
    chunks = 20_000
    async with a_house(tmp_path, limits=Limits(unread_s=5.0)) as house:
        await house.ready()
        async with house.http.post(CHAT, json={**asking(chunks=chunks), "stream": True}) as answer:
            await anyio.sleep(1.0)
            text = await answer.read()

    assert text.count(b"word") == chunks


def a_request_that_is_not_read(house: House) -> socket.socket:
    body = json.dumps({**asking(chunks=1_000_000), "stream": True}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", house.port))
    client.sendall(head.encode() + body)
    return client
