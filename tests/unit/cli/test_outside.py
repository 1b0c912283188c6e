"""Whether a hub is in reach, and whether it may be asked."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from localllm.cli import outside
from localllm.cli.outside import is_offline, not_fetched, why_no_hub

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_hub_that_takes_connections_is_in_reach(port: int) -> None:
    assert why_no_hub({"HF_ENDPOINT": f"http://127.0.0.1:{port}"}) is None


def test_one_that_does_not_is_out_of_reach_and_the_reason_is_the_systems() -> None:
    why = why_no_hub({"HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"})

    assert why == "127.0.0.1 cannot be reached: Connection refused"


def test_a_system_that_looks_for_the_name_for_long_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()
    monkeypatch.setattr(outside, "_try", lambda *_: over.wait(20))
    begun = time.monotonic()

    why = why_no_hub({"HF_ENDPOINT": "http://hub.example"}, within_s=0.05)

    over.set()
    assert why == "hub.example did not answer within 0 s"
    assert time.monotonic() - begun < 5


def test_behind_a_proxy_the_proxy_is_what_has_to_answer(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = {"HF_ENDPOINT": "https://hub.example"}

    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    assert why_no_hub(hub) is None
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{closed_port()}")
    assert why_no_hub(hub) == "127.0.0.1 cannot be reached: Connection refused"


def test_a_hub_that_needs_no_proxy_is_asked_itself(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    assert why_no_hub({"HF_ENDPOINT": f"http://127.0.0.1:{port}"}) is None


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://a..b", "http://[::1"])
def test_an_endpoint_that_is_none_is_out_of_reach(endpoint: str) -> None:
    assert why_no_hub({"HF_ENDPOINT": endpoint}) is not None


@pytest.mark.parametrize(
    ("environment", "asked", "offline"),
    [({}, False, False), ({}, True, True), ({"HF_HUB_OFFLINE": "1"}, False, True)],
)
def test_offline_is_said_by_the_option_or_the_variable(
    environment: dict[str, str], asked: bool, offline: bool
) -> None:
    assert is_offline(environment, asked=asked) is offline


def test_what_is_not_fetched_says_who_forbids_it() -> None:
    assert not_fetched("m", {}).why == "--offline was given"
    assert not_fetched("m", {"HF_HUB_OFFLINE": "1"}).why == "HF_HUB_OFFLINE is set"
