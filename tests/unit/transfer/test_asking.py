"""One request for a range: whom it asks, what it tells them, and which answers it takes."""

from __future__ import annotations

import base64
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from localllm.errors import ConfigError, LocalLLMError, NoNetwork, WrongContent
from localllm.transfer.asking import Asking, translated
from localllm.transfer.digests import sha256
from localllm.transfer.failures import Refused, TryAgain
from localllm.transfer.session import outside
from localllm.transfer.wanted import Wanted

pytestmark = pytest.mark.anyio
CONTENT = bytes(range(256)) * 4
HEX = "a" * 64
TOKEN = {"authorization": "Bearer hf_secret"}


@dataclass
class Reply:
    status: int = 206
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """None: what the range asks for."""


@dataclass
class Place:
    """A server whose answers are planned, by path; the last one stays."""

    port: int = 0
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and authorization of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)

    def moves(self, path: str, *locations: str, **headers: str) -> None:
        told = {name.replace("_", "-"): text for name, text in headers.items()}
        self.answers(path, *(Reply(302, {"Location": to, **told}, b"") for to in locations))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        place: Place = self.server.place  # type: ignore[attr-defined]
        place.seen.append((self.path, self.headers.get("Authorization")))
        planned = place.replies[self.path.partition("?")[0]]
        reply = planned.pop(0) if len(planned) > 1 else planned[0]
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        body = CONTENT[int(start) : int(last) + 1] if reply.body is None else reply.body
        self.send_response(reply.status)
        for name, text in reply.headers.items():
            self.send_header(name, text)
        if reply.status == 206 and "Content-Range" not in reply.headers:
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(CONTENT)}")
        if "Transfer-Encoding" in reply.headers:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def a_place() -> Iterator[Place]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who has heard enough hangs up
    place = Place(server.server_address[1])
    server.place = place  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield place
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hub() -> Iterator[Place]:
    with a_place() as place:
        yield place


@pytest.fixture
def storage() -> Iterator[Place]:
    with a_place() as place:
        place.answers("/blob", Reply())
        yield place


@asynccontextmanager
async def asking(
    hub: Place, url: str = "", headers: Mapping[str, str] | None = None, **environment: str
) -> AsyncIterator[Asking]:
    wanted = Wanted(url or f"{hub.url}/file", sha256(HEX), len(CONTENT), headers or {})
    async with outside(environment) as session:
        yield Asking(session, wanted)


async def got(asking: Asking, start: int, end: int) -> bytes:
    async with asking.ask(start, end) as answer:
        parts = []
        while data := await answer.more():
            parts.append(data)
    return b"".join(parts)


async def refusal(hub: Place, **environment: str) -> LocalLLMError:
    async with asking(hub, headers=TOKEN, **environment) as asked:
        with pytest.raises(LocalLLMError) as caught:
            await got(asked, 0, 10)
    return caught.value


async def test_a_range_is_what_was_asked_for(hub: Place) -> None:
    hub.answers("/file", Reply())

    async with asking(hub) as asked:
        assert await got(asked, 100, 300) == CONTENT[100:300]


async def test_the_place_it_is_sent_to_is_kept_for_the_next_range(
    hub: Place, storage: Place
) -> None:
    hub.moves("/file", f"{storage.url}/blob?Signature=a%2Fb%3D")

    async with asking(hub) as asked:
        await got(asked, 0, 10)
        await got(asked, 10, 20)

    assert len(hub.seen) == 1
    assert [path for path, _ in storage.seen] == ["/blob?Signature=a%2Fb%3D"] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_an_address_that_has_run_out_is_asked_for_again(
    hub: Place, storage: Place, status: int
) -> None:
    hub.moves("/file", f"{storage.url}/old", f"{storage.url}/blob")
    storage.answers("/old", Reply(), Reply(status, body=b"expired"))

    async with asking(hub) as asked:
        await got(asked, 0, 10)
        assert await got(asked, 10, 20) == CONTENT[10:20]

    assert len(hub.seen) == 2


async def test_several_connections_whose_address_has_run_out_all_get_the_new_one(
    hub: Place, storage: Place
) -> None:
    hub.moves("/file", f"{storage.url}/old", f"{storage.url}/blob")
    storage.answers("/old", Reply(), Reply(403, body=b"expired"))

    async with asking(hub) as asked:
        await got(asked, 0, 10)
        old = asked._elsewhere
        await got(asked, 0, 10)
        asked._elsewhere = None  # another one is asking for a new address now
        assert asked._renewed(str(old), 0) == f"{hub.url}/file"
        asked._elsewhere = f"{storage.url}/blob"  # and has got it
        assert asked._renewed(str(old), 0) == f"{storage.url}/blob"
        assert asked._renewed(str(old), 1) == f"{hub.url}/file", "that one did not serve either"


@pytest.mark.parametrize("status", [403, 404])
async def test_a_storage_that_refuses_a_new_address_too_is_out_of_order_and_no_hub(
    hub: Place, storage: Place, status: int
) -> None:
    hub.moves("/file", f"{storage.url}/blob?Signature=secret")
    storage.answers("/blob", Reply(status, {"X-Error-Code": "GatedRepo"}, body=b"no"))

    async with asking(hub) as asked:
        with pytest.raises(TryAgain, match=f"{status} to an address that is fresh"):
            await got(asked, 0, 10)

    assert len(hub.seen) == 4, "an address may run out while it is on its way"


async def test_a_hub_that_refuses_at_another_of_its_addresses_is_the_hub(hub: Place) -> None:
    hub.moves("/file", "/moved/file")
    hub.answers("/moved/file", Reply(403, {"X-Error-Code": "GatedRepo"}, b""))

    error = await refusal(hub)

    assert isinstance(error, Refused)
    assert error.code_of_hub == "GatedRepo"


SIGNED = URL("https://me:mine@storage.invalid/blob?Signature=mine")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            aiohttp.ClientResponseError(
                aiohttp.RequestInfo(SIGNED, "GET", CIMultiDictProxy(CIMultiDict()), SIGNED),
                (),
                status=400,
                message="Invalid header",
            ),
            "400 Invalid header",
        ),
        (aiohttp.InvalidURL(SIGNED), "its address is none"),
        (aiohttp.NonHttpUrlClientError(SIGNED), "its address is none"),
        (ValueError(f"no port in {SIGNED}"), "its address is none"),
    ],
)
def test_no_error_tells_an_address_that_is_signed(error: Exception, said: str) -> None:
    wanted = Wanted(str(SIGNED), sha256(HEX), 1)

    with pytest.raises((TryAgain, NoNetwork)) as caught, translated(wanted):
        raise error

    assert said in str(caught.value)
    assert "mine" not in str(caught.value)


async def test_the_token_is_for_the_hub_alone(hub: Place, storage: Place) -> None:
    hub.moves("/file", f"{storage.url}/blob")

    async with asking(hub, headers=TOKEN) as asked:
        await got(asked, 0, 10)

    assert hub.seen == [("/file", TOKEN["authorization"])]
    assert storage.seen == [("/blob", None)], "another port is another origin"


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def a_netrc(folder: Path, text: str) -> str:
    file = folder / "netrc"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("text", "headers", "sent"),
    [
        ("machine 127.0.0.1 login me password mine", {}, basic("me:mine")),
        ("machine 127.0.0.1 login me password mine", TOKEN, TOKEN["authorization"]),
        ("default login me password mine", {}, None),
        ("machine elsewhere login me password mine", {}, None),
        ("this is { no netrc", {}, None),
    ],
)
async def test_netrc_has_the_password_of_the_hub_that_is_asked_and_of_no_other(
    hub: Place, storage: Place, tmp_path: Path, text: str, headers: dict[str, str], sent: str | None
) -> None:
    hub.moves("/file", f"{storage.url}/blob")

    async with asking(hub, headers=headers, NETRC=a_netrc(tmp_path, text)) as asked:
        await got(asked, 0, 10)

    assert hub.seen == [("/file", sent)]
    assert storage.seen == [("/blob", None)]


async def test_a_mirrors_own_password_is_sent_in_place_of_the_token_and_shown_to_nobody(
    hub: Place,
) -> None:
    hub.answers("/file", Reply(404, body=b""))

    async with asking(hub, f"http://me:mine@127.0.0.1:{hub.port}/file?key=1", TOKEN) as asked:
        with pytest.raises(Refused) as caught:
            await got(asked, 0, 10)

    assert hub.seen == [("/file?key=1", basic("me:mine"))]
    assert "mine" not in str(caught.value)
    assert "key" not in str(caught.value)


@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.invalid/blob",
        "http://localhost/blob",
        "file:///etc/passwd",
        "ftp://127.0.0.1/blob",
        "http://[not-an-address/blob",
        "https://127.0.0.1:99999999/blob",
        "https:///blob",
        "javascript:alert(1)",
        "data:,x",
        "http://elsewhere.invalid/\x1b[31m",
    ],
)
async def test_it_does_not_follow_to_where_it_is_not_safe(hub: Place, location: str) -> None:
    hub.moves("/file", location)

    error = await refusal(hub)

    assert isinstance(error, NoNetwork)
    assert len(hub.seen) == 1
    assert str(error).replace("\n", "").isprintable()


@pytest.mark.parametrize("location", ["/file", "", "?again=1"])
async def test_it_does_not_go_round_in_circles(hub: Place, location: str) -> None:
    hub.moves("/file", location)

    error = await refusal(hub)

    assert "redirected more than" in error.why
    assert len(hub.seen) == 10


async def test_a_relative_redirect_is_on_the_same_host_and_has_the_token(hub: Place) -> None:
    hub.moves("/file", "/api/cache/file")
    hub.answers("/api/cache/file", Reply())

    async with asking(hub, headers=TOKEN) as asked:
        assert await got(asked, 0, 10) == CONTENT[:10]

    assert hub.seen[1] == ("/api/cache/file", TOKEN["authorization"])


async def test_a_hub_that_says_that_the_file_has_changed_is_believed(
    hub: Place, storage: Place
) -> None:
    hub.moves("/file", f"{storage.url}/blob", X_Linked_ETag='"' + "b" * 64 + '"')

    error = await refusal(hub)

    assert isinstance(error, WrongContent)
    assert "bbbb" in error.why
    assert storage.seen == []


@pytest.mark.parametrize(
    "told",
    [
        "bytes 1-9/1024",
        "bytes 0-10/1024",
        "bytes 5-3/1024",
        "bytes 0-9",
        "",
        "bytes */1024",
        "bytes 0-9/1024, 20-29/1024",
        f"bytes {'9' * 5000}-9/1024",
    ],
)
async def test_a_part_that_is_another_is_asked_for_again(hub: Place, told: str) -> None:
    hub.answers("/file", Reply(headers={"Content-Range": told}))

    async with asking(hub) as asked:
        with pytest.raises(TryAgain, match="bytes 0-9 were asked for"):
            await got(asked, 0, 10)


async def test_a_part_may_be_shorter_than_was_asked_for(hub: Place) -> None:
    headers = {"Content-Range": "bytes 0-4/*"}
    hub.answers("/file", Reply(headers=headers, body=CONTENT[:5]))

    async with asking(hub) as asked, asked.ask(0, 10) as answer:
        assert (answer.start, answer.end, answer.is_whole) == (0, 5, False)


async def test_a_file_whose_length_is_not_told_comes_too(hub: Place) -> None:
    hub.answers("/file", Reply(200, {"Transfer-Encoding": "chunked"}, CONTENT))

    async with asking(hub) as asked:
        assert await got(asked, 0, 10) == CONTENT


@pytest.mark.parametrize(
    "reply",
    [
        Reply(headers={"Content-Range": "bytes 0-9/1025"}),
        Reply(200, body=CONTENT + b"x"),
        Reply(200, body=b""),
        Reply(416, body=b""),
        Reply(headers={"Content-Encoding": "gzip"}),
        Reply(200, {"Content-Encoding": " GZIP"}, CONTENT),
        Reply(200, {"Content-Type": "text/html", "Transfer-Encoding": "chunked"}, b"log in"),
    ],
)
async def test_another_file_is_refused(hub: Place, reply: Reply) -> None:
    hub.answers("/file", reply)

    assert isinstance(await refusal(hub), WrongContent)


@pytest.mark.parametrize(
    ("status", "busy"),
    [(408, False), (425, False), (429, True), (500, False), (502, False), (503, True)],
)
async def test_what_may_pass_is_to_be_asked_again_when_the_server_says(
    hub: Place, status: int, busy: bool
) -> None:
    hub.answers("/file", Reply(status, {"Retry-After": "7"}, b""))

    async with asking(hub) as asked:
        with pytest.raises(TryAgain) as caught:
            await got(asked, 0, 10)

    assert (caught.value.after_s, caught.value.busy, caught.value.answered) == (7.0, busy, True)


async def test_the_hubs_own_word_comes_with_its_refusal(hub: Place) -> None:
    hub.answers("/file", Reply(403, {"X-Error-Code": "GatedRepo"}, b""))

    error = await refusal(hub)

    assert isinstance(error, Refused)
    assert (error.status, error.code_of_hub) == (403, "GatedRepo")


async def test_a_proxy_of_another_kind_is_named(
    hub: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "socks5://me:mine@127.0.0.1:1080")

    error = await refusal(hub)

    assert isinstance(error, ConfigError)
    assert "socks5://127.0.0.1:1080" in error.why
