"""The screen in a browser: served by the command or in this process, and a browser's side of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.cookies import Morsel
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import psutil
from yarl import URL

from localllm.gateway.connection import Limits
from localllm.gateway.listening import bound, serving
from localllm.web.app import application, find_front_end
from localllm.web.child import Screen
from localllm.web.entry import Entry
from tests.fakes.installation import Installation

DEADLINE_S = 30.0
"""For a screen to start, on a machine that does much else."""

FAKE = Path(__file__).with_name("fake_screen.py")


@dataclass
class Browser:
    """It sends what browsers send of themselves, unless a test says otherwise."""

    address: str
    """As it was printed, token and all."""

    session: aiohttp.ClientSession
    folder: str = ""
    """Once it was let in."""

    cookie: Morsel[str] = field(default_factory=Morsel)

    @property
    def origin(self) -> str:
        return str(URL(self.address).origin())

    @property
    def host(self) -> str:
        return self.origin.removeprefix("http://")

    async def enter(self) -> None:
        answer = await self.get(self.address)
        assert answer.status == 303, answer.text
        self.folder = answer.headers["Location"].rstrip("/")
        (self.cookie,) = answer.cookies

    def headers(self, **other: str) -> dict[str, str]:
        cookie = {"Cookie": f"{self.cookie.key}={self.cookie.value}"} if self.folder else {}
        return {**cookie, **other}

    async def get(self, path: str, **headers: str) -> Answer:
        address = path if path.startswith("http") else f"{self.origin}{path}"
        async with self.session.get(
            address, headers=self.headers(**headers), allow_redirects=False
        ) as answer:
            cookies = tuple(answer.cookies.values())
            text = await answer.text(errors="replace")
            return Answer(answer.status, dict(answer.headers), text, cookies)

    @asynccontextmanager
    async def socket(
        self, query: str = "width=100&height=30", **headers: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        address = f"{self.origin}{self.folder}/ws?{query}"
        sent = self.headers(**{"Origin": self.origin, **headers})
        async with self.session.ws_connect(address, headers=sent) as socket:
            yield socket


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    cookies: tuple[Morsel[str], ...]


@asynccontextmanager
async def a_browser(address: str, *, let_in: bool = True) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        browser = Browser(address, session)
        if let_in:
            await browser.enter()
        yield browser


@asynccontextmanager
async def a_door(
    folder: Path, start_daemon: Callable[[], None] = lambda: None, *, let_in: bool = True
) -> AsyncIterator[Browser]:
    """A server in this process, whose screens are `fake_screen.py`, and a browser at it."""
    screen = Screen((sys.executable, str(FAKE)), dict(os.environ), start_daemon, folder / "log")
    entry = Entry()
    with bound(0) as sockets:
        port = sockets[0].getsockname()[1]
        app = application(screen, entry, port, find_front_end())
        async with serving(app, sockets, Limits()):
            address = f"http://127.0.0.1:{port}/?token={entry.token}"
            async with a_browser(address, let_in=let_in) as browser:
                yield browser


@contextmanager
def a_web_screen(
    installation: Installation, *words: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yield its process and the address that it printed."""
    process = installation.start("tui", "--web", *words, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def screens_of(pid: int) -> list[psutil.Process]:
    """All processes that a server has started and that are there."""
    return [one for one in psutil.Process(pid).children(recursive=True) if is_alive(one)]


async def until(happened: Callable[[], Any], what: str) -> None:
    """Let this process go on until it has happened."""
    with anyio.move_on_after(10):
        while not happened():
            await anyio.sleep(0.02)
        return
    raise AssertionError(f"not within 10 s: {what}")


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def read_until(socket: aiohttp.ClientWebSocketResponse, text: str) -> str:
    """Read what is shown until the text is among it; return all of it."""
    shown = ""
    with anyio.fail_after(DEADLINE_S):
        while text not in shown:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, (message, shown[-2000:])
            shown += message.data.decode(errors="replace")
    return shown


async def read_to_the_end(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Return how it was closed, and all that was shown until then."""
    shown = b""
    with anyio.fail_after(DEADLINE_S):
        async for message in socket:
            shown += message.data if message.type is aiohttp.WSMsgType.BINARY else b""
    return socket.close_code, shown.decode(errors="replace")
