"""The hub, as it answers and as it does not: on loopback, by real sockets."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from localllm.checkup.checks import hub
from localllm.checkup.checks.hub import Answer, check_hub, judge
from localllm.checkup.finding import Finding, Severity
from localllm.checkup.packages import set_clock
from tests.fakes.hub import serving
from tests.unit.checkup.a_place import a_known, a_place, bad, by_id, only


def asked(tmp_path: Path, endpoint: str, **changes: Any) -> list[Finding]:
    environment = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), **changes.pop("more", {})}
    return list(check_hub(a_known(a_place(tmp_path, environment=environment, **changes))))


@contextmanager
def answering(
    status: int, headers: Mapping[str, str] | None = None
) -> Iterator[tuple[str, list[tuple[str, Mapping[str, str]]]]]:
    """A hub that gives one answer to all; and what it was asked."""
    seen: list[tuple[str, Mapping[str, str]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, dict(self.headers)))
            self.send_response_only(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()


def test_a_hub_that_answers_is_in_order(tmp_path: Path) -> None:
    with serving(tmp_path / "repositories") as fake:
        assert bad(asked(tmp_path, fake.url)) == []


def test_offline_nobody_is_asked(tmp_path: Path) -> None:
    with answering(200) as (url, seen):
        by_option = asked(tmp_path, url, offline=True)
        by_variable = asked(tmp_path, url, more={"HF_HUB_OFFLINE": "1"})

    assert [one.id for one in by_option + by_variable] == ["hub.offline"] * 2
    assert seen == []


def test_a_token_is_tried_and_is_never_shown(tmp_path: Path) -> None:
    with answering(401) as (url, seen):
        found = only(asked(tmp_path, url, more={"HF_TOKEN": "hf_abcdefgh"}))

    assert (found.id, found.severity, found.fix) == ("hub.token", Severity.PROBLEM, "hf auth login")
    assert seen[0][0] == "/api/whoami-v2"
    assert seen[0][1]["Authorization"] == "Bearer hf_abcdefgh"
    assert "hf_abcdefgh" not in str(found)


@pytest.mark.parametrize(
    ("status", "headers", "has_token", "id_"),
    [
        (200, {}, False, "hub.answers"),
        (200, {"content-type": "text/html"}, False, "hub.other-page"),
        (302, {"location": "http://login"}, False, "hub.answers"),
        (401, {}, False, "hub.answers"),
        (403, {}, True, "hub.token"),
        (404, {}, True, "hub.answers"),
        (407, {}, False, "hub.proxy-refuses"),
        (429, {"retry-after": "30"}, False, "hub.too-many"),
        (503, {}, False, "hub.broken"),
    ],
)
def test_each_answer_has_its_meaning(
    status: int, headers: Mapping[str, str], id_: str, *, has_token: bool
) -> None:
    assert judge("huggingface.co", Answer(status, headers), has_token=has_token).id == id_


def test_a_clock_that_is_off_is_a_problem(tmp_path: Path) -> None:
    with answering(200, {"Date": formatdate(time() - 3600, usegmt=True)}) as (url, _):
        found = by_id(asked(tmp_path, url))["clock.off"]

    assert found.what.startswith("The clock is 60 minutes fast (")
    assert found.fix == "sudo timedatectl set-ntp true"


@pytest.mark.parametrize(
    ("system", "files", "fix"),
    [
        ("linux", {}, "sudo timedatectl set-ntp true"),
        (
            "linux",
            {"proc/sys/kernel/osrelease": "5.15-microsoft-standard-WSL2", "dev/dxg": ""},
            "sudo hwclock -s",
        ),
        ("darwin", {}, "sudo sntp -sS time.apple.com"),
    ],
)
def test_the_command_is_that_of_the_system(
    tmp_path: Path, system: str, files: Mapping[str, str], fix: str
) -> None:
    assert set_clock(a_place(tmp_path, files, system=system)) == fix


def test_a_proxy_is_asked_in_the_hubs_place(tmp_path: Path) -> None:
    with answering(407) as (proxy, seen):
        found = only(asked(tmp_path, "http://hub.invalid", more={"HTTP_PROXY": proxy}))

    assert found.id == "hub.proxy-refuses"
    assert seen[0][0].startswith("http://hub.invalid/api/models")


def test_a_proxy_that_refuses_a_tunnel_is_known_by_its_number(tmp_path: Path) -> None:
    with _refusing_tunnels() as proxy:
        found = only(asked(tmp_path, "https://hub.invalid", more={"HTTPS_PROXY": proxy}))

    assert found.id == "hub.proxy-refuses"


@contextmanager
def _refusing_tunnels() -> Iterator[str]:
    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("http://no-such-host.invalid", "its name is not found"),
    ],
)
def test_a_hub_that_cannot_be_reached_says_why_and_what_still_works(
    tmp_path: Path, endpoint: str, why: str
) -> None:
    found = only(asked(tmp_path, endpoint))

    assert (found.id, found.severity) == ("hub.unreachable", Severity.WARNING)
    assert why in (found.why or "")
    assert "what is on the disk can be served" in (found.why or "")


def test_a_hub_that_swallows_all_costs_less_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_MOST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = monotonic()
        found = only(asked(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}"))

    assert "did not answer within" in (found.why or "")
    assert monotonic() - began < 1.0


def test_a_certificate_of_a_companys_proxy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Answer:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate in certificate chain"
        raise error

    monkeypatch.setattr(hub, "fetch_answer", refuse)

    found = only(asked(tmp_path, "https://huggingface.co"))

    assert found.id == "hub.certificate"
    assert "self-signed" in (found.why or "")
    assert (found.fix or "").startswith("export SSL_CERT_FILE=")


@pytest.mark.parametrize("endpoint", ["huggingface.co", "ftp://x", "https://"])
def test_an_endpoint_that_is_no_address_is_a_problem(tmp_path: Path, endpoint: str) -> None:
    assert only(asked(tmp_path, endpoint)).id == "hub.address"
