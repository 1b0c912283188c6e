"""The way to the outside: through the user's proxies, trusting what their system trusts."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localllm.errors import ConfigError, NoNetwork
from localllm.transfer import digests
from localllm.transfer.download import download
from localllm.transfer.session import outside
from localllm.transfer.wanted import Wanted
from tests.fakes.engine_pins import serve_build
from tests.fakes.installation import Installation
from tests.fakes.release_server import an_outside, sha256

pytestmark = pytest.mark.anyio
CONTENT = b"an engine" * 1000
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass
class Seen:
    """What reached a server or a proxy."""

    port: int
    lines: list[str] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)


class Releases(BaseHTTPRequestHandler):
    """Has one file, by whatever name."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def note(self) -> None:
        seen: Seen = self.server.seen  # type: ignore[attr-defined]
        seen.lines.append(f"{self.command} {self.path}")
        seen.headers.append(self.headers)

    def do_GET(self) -> None:
        self.note()
        self.say(200, CONTENT)

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Proxy(Releases):
    """Leads to loopback, whatever host is asked for."""

    def do_GET(self) -> None:
        self.note()
        host, _, port = self.path.removeprefix("http://").partition("/")[0].partition(":")
        link = http.client.HTTPConnection("127.0.0.1", int(port))
        link.request("GET", "/" + self.path.split("/", 3)[3], headers={"Host": host})
        self.say(200, link.getresponse().read())
        link.close()

    def do_CONNECT(self) -> None:
        self.note()
        with socket.create_connection(("127.0.0.1", int(self.path.partition(":")[2]))) as beyond:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: beyond, beyond: self.connection}
            while (ready := select.select(list(ends), [], [], 10.0)[0]) and all(
                self.passed_on(one, ends[one]) for one in ready
            ):
                pass
        self.close_connection = True

    def passed_on(self, one: socket.socket, other: socket.socket) -> bool:
        data = one.recv(65_536)
        other.sendall(data)
        return bool(data)


class Gatekeeper(Proxy):
    """A proxy that wants a password."""

    def do_GET(self) -> None:
        self.note()
        self.say(407, b"")

    do_CONNECT = do_GET


@contextmanager
def serving(handler: type[Releases], certificate: Path | None = None) -> Iterator[Seen]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who is not trusted is hung up on
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.seen = Seen(server.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an authority that nobody knows, for loopback and for a host that does not exist."""
    file = tmp_path_factory.mktemp("tls") / "own.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:releases.invalid"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=us", "-newkey"),
            *("rsa:2048", "-addext", names, "-keyout", f"{file}.key", "-out", f"{file}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    file.write_text(Path(f"{file}.key").read_text() + Path(f"{file}.crt").read_text())
    subprocess.run(["openssl", "rehash", file.parent], check=True, capture_output=True)
    return file


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def fetch(url: str, folder: Path, **environment: str) -> bytes:
    wanted = Wanted(url, digests.sha256(sha256(CONTENT)), len(CONTENT))
    whole = folder / "whole"
    async with outside(environment) as session:
        await download(session, wanted, whole)
    return whole.read_bytes()


async def refusal(url: str, folder: Path, **environment: str) -> NoNetwork:
    with pytest.raises(NoNetwork) as caught:
        await fetch(url, folder, **environment)
    return caught.value


async def test_nothing_is_asked_for_compressed(tmp_path: Path) -> None:
    with serving(Releases) as server:
        await fetch(f"http://127.0.0.1:{server.port}/a.tar.gz", tmp_path)

    assert server.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
async def test_http_goes_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with serving(Releases) as server, serving(Proxy) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        url = f"http://releases.invalid:{server.port}/a.tar.gz"

        assert await fetch(url, tmp_path) == CONTENT

    assert proxy.lines == [f"GET {url}"]
    assert server.lines == ["GET /a.tar.gz"]


async def test_https_goes_through_the_proxy_and_is_between_us_and_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: Path
) -> None:
    with serving(Releases, certificate) as server, serving(Proxy) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        host = f"releases.invalid:{server.port}"

        got = await fetch(f"https://{host}/a.tar.gz", tmp_path, SSL_CERT_FILE=str(certificate))

    assert got == CONTENT
    assert proxy.lines == [f"CONNECT {host}"]


async def test_what_no_proxy_names_is_asked_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Releases) as server, serving(Proxy) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        assert await fetch(f"http://127.0.0.1:{server.port}/a.tar.gz", tmp_path) == CONTENT

    assert proxy.lines == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with serving(Gatekeeper) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{proxy.port}")

        error = await refusal(f"{scheme}://releases.invalid/a.tar.gz", tmp_path)

    assert "answers with 407" in error.why
    assert len(proxy.lines) == 1


@pytest.mark.parametrize(
    "variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"]
)
async def test_a_companys_own_authority_is_trusted(
    tmp_path: Path, certificate: Path, variable: str
) -> None:
    with serving(Releases, certificate) as server:
        url = f"https://127.0.0.1:{server.port}/a.tar.gz"

        assert await fetch(url, tmp_path, **{variable: str(certificate)}) == CONTENT


async def test_a_certificate_of_nobodys_is_an_error_at_once_that_says_so(
    tmp_path: Path, certificate: Path
) -> None:
    with serving(Releases, certificate) as server:
        error = await refusal(f"https://127.0.0.1:{server.port}/a.tar.gz", tmp_path)

    assert "certificate verify failed" in error.why
    assert "SSL_CERT_FILE" in error.fix
    assert list(tmp_path.glob("*whole")) == []


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path, certificate: Path) -> None:
    with serving(Releases, certificate) as server:
        url = f"https://localhost:{server.port}/a.tar.gz"

        error = await refusal(url, tmp_path, SSL_CERT_FILE=str(certificate))

    assert "Hostname mismatch" in error.why


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_a_variable_that_names_no_certificates_is_named(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "company.pem"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigError) as caught:
        await fetch("https://127.0.0.1:1/a.tar.gz", tmp_path, REQUESTS_CA_BUNDLE=str(file))

    assert "REQUESTS_CA_BUNDLE" in caught.value.what
    assert str(file) in caught.value.why


async def test_a_folder_of_certificates_may_be_named_too(tmp_path: Path, certificate: Path) -> None:
    with serving(Releases, certificate) as server:
        url = f"https://127.0.0.1:{server.port}/a.tar.gz"
        folder = str(certificate.parent)

        assert await fetch(url, tmp_path, REQUESTS_CA_BUNDLE=folder) == CONTENT


@pytest.mark.parametrize(
    "url", ["nowhere/a.tar.gz", "ftp://127.0.0.1/a.tar.gz", "http:///a.tar.gz"]
)
async def test_a_mirror_that_is_no_address_is_an_error_at_once(tmp_path: Path, url: str) -> None:
    assert url in (await refusal(url, tmp_path)).why


def test_the_command_speaks_tls_though_its_start_leaves_tls_out(
    tmp_path: Path, certificate: Path
) -> None:
    with an_outside() as away, serving(Releases, certificate) as server:
        here = Installation(tmp_path)
        serve_build(away, here, "test-cpu", drives="cpu", packages=False)
        here.environment["LOCALLLM_ENGINE_MIRROR"] = f"https://127.0.0.1:{server.port}/mirror"
        here.environment["SSL_CERT_FILE"] = str(certificate)

        ran = here.run("engine", "install", "test-cpu", "--yes")

    assert server.lines == [
        "GET /mirror/github.com/ggml-org/llama.cpp/releases/download/b1/test-cpu.tar.gz"
    ]
    assert "it has 9000 bytes" in ran.err
