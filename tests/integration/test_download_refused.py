"""Servers that are busy, that refuse, that are not there, and that send something else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localllm.errors import NoNetwork, WrongContent
from localllm.transfer import session
from tests.fakes.release_server import Fault, sha256
from tests.integration.a_download import ALL, CONTENT, OTHER, House, a_house, noted_pauses

pytestmark = pytest.mark.anyio


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with a_house(tmp_path) as house:
        yield house


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return noted_pauses(monkeypatch)


@pytest.mark.parametrize(
    ("status", "after", "pause_s"),
    [
        (503, None, 0.5),
        (503, "0", 0.5),
        (503, "7", 7.0),
        (429, "60", 60.0),
        (502, "Fri, 31 Dec 1999 23:59:59 GMT", 0.5),
        (500, "²", 0.5),
        (408, "-1", 0.5),
    ],
)
async def test_a_busy_server_is_asked_again_when_it_says(
    house: House, slept: list[float], status: int, after: str | None, pause_s: float
) -> None:
    headers = {} if after is None else {"Retry-After": after.encode().decode("latin-1")}
    house.fails(Fault(status=status, headers=headers))

    assert (await house.fetch()).read_bytes() == CONTENT

    assert slept == [pytest.approx(pause_s, rel=0.25)]


@pytest.mark.parametrize(
    ("after", "pauses", "most_s"),
    [
        ("0", [0.5, 1.0, 2.0, 4.0, 8.0], 60),
        ("5", [5.0, 5.0, 5.0, 5.0, 8.0], 60 + 4 * 5),
        ("120", [120.0] * 5, 600),
        ("3600", [], 0),
        ("Fri, 31 Dec 2999 23:59:59 GMT", [], 0),
    ],
)
async def test_a_server_that_stays_busy_is_given_up(
    house: House, slept: list[float], after: str, pauses: list[float], most_s: float
) -> None:
    house.fails(*[Fault(status=503, headers={"Retry-After": after})] * 20)

    error = await house.refusal(NoNetwork)

    assert "503" in error.why
    assert slept[:5] == pytest.approx(pauses, rel=0.25)
    assert sum(slept) <= most_s


@pytest.mark.parametrize("has_come", [False, True])
async def test_who_gives_a_busy_server_up_says_when_to_come_back(
    house: House, slept: list[float], has_come: bool
) -> None:
    begun = [Fault(cut_at=1_000_000)] if has_come else []
    house.fails(*begun, Fault(status=503, headers={"Retry-After": "900"}))

    error = await house.refusal(NoNetwork)

    assert error.fix == "it is busy: try again later, in 15 min"
    assert error.retry_after_s == 900.0
    assert max(slept, default=0.0) < 60.0


async def test_a_server_that_is_out_of_order_is_no_matter_of_the_network(
    house: House, slept: list[float]
) -> None:
    house.fails(*[Fault(status=500)] * 20)

    error = await house.refusal(NoNetwork)

    assert error.fix == "try again later: the server is out of order"
    assert error.retry_after_s is None


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451, 501])
async def test_a_server_that_refuses_is_asked_once(
    house: House, slept: list[float], status: int
) -> None:
    house.fails(Fault(status=status))

    error = await house.refusal(NoNetwork)

    assert f"127.0.0.1 answers with {status}" in error.why
    assert len(house.asked) == 1
    assert slept == []


@pytest.mark.parametrize("part", [b"", CONTENT[:1000]])
async def test_without_a_server_it_is_an_error_at_once(
    tmp_path: Path, slept: list[float], part: bytes
) -> None:
    with a_house(tmp_path) as house:
        house.has_part(part)

    error = await house.refusal(NoNetwork)

    assert "engine.tar.gz could not be fetched" in error.what
    assert "HTTPS_PROXY" in error.fix
    assert slept == []


async def test_a_host_that_does_not_even_refuse_is_asked_once(
    house: House, monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(session, "_CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, socket.socket() as caller:
        house.outside.port = deaf.getsockname()[1]
        caller.connect(deaf.getsockname())  # the queue is full, the next one gets no answer

        await house.refusal(NoNetwork)

    assert slept == []


async def test_a_server_that_falls_silent_is_asked_for_the_rest(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_SILENCE_S", 0.2)
    house.fails(Fault(hold=(end := threading.Event())))

    assert (await house.fetch()).read_bytes() == CONTENT

    end.set()
    assert len(house.asked) == 2
    assert house.asked[1] is not None


async def test_other_bytes_of_the_same_length_are_refused_the_second_time(house: House) -> None:
    house.fails(Fault(body=OTHER), Fault(body=OTHER))

    error = await house.refusal(WrongContent)

    assert sha256(OTHER) in error.why
    assert sha256(CONTENT) in error.why
    assert house.asked == [ALL, ALL]
    assert list(house.folder.iterdir()) == [house.quarantined]
    assert house.quarantined.read_bytes() == OTHER


async def test_other_bytes_of_the_same_length_are_forgiven_once(house: House) -> None:
    house.fails(Fault(body=OTHER))

    assert (await house.fetch()).read_bytes() == CONTENT

    assert list(house.folder.iterdir()) == [house.whole]


@pytest.mark.parametrize("body", [b"<html>log in first</html>", b"", CONTENT[:-1], CONTENT + b"x"])
@pytest.mark.parametrize("part", [b"", CONTENT[:1_000_000]])
async def test_a_file_of_another_length_is_refused_and_spoils_nothing(
    house: House, slept: list[float], body: bytes, part: bytes
) -> None:
    """A hotel's page to log in, above all: it must not become the beginning of the file."""
    house.has_part(part)
    house.fails(Fault(body=body, no_ranges=True))

    error = await house.refusal(WrongContent)

    assert f"{len(body)} bytes" in error.why
    assert slept == []
    assert house.here_bytes == len(part)
    await house.fetch()
    assert house.outside.sent[house.path] - len(body) <= len(CONTENT) - len(part)


async def test_a_file_that_ends_before_the_part_is_refused(house: House) -> None:
    house.has_part(CONTENT[:1000])
    house.fails(Fault(body=CONTENT[:500]))

    assert "shorter" in (await house.refusal(WrongContent)).why
