"""A headless Chromium, driven over its DevTools protocol as far as a test of a page needs.

Nothing but 127.0.0.1 has an address in it.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from tests.fakes.installation import wait_until

_DEADLINE_S = 20.0
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_POLICY = "ContentSecurityPolicyIssue"


class Page:
    """A tab, and all that it has done since it was opened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.requests: list[str] = []
        """Addresses, WebSockets among them."""

        self.complaints: list[str] = []
        """Errors of its console, failures to load, breaches of its policy."""

        self.shown = ""
        """What came over WebSockets."""

        self.sent: list[str] = []
        """What the page said over them."""

        self._raw = b""

    async def listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    async def ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        with anyio.fail_after(_DEADLINE_S):
            said = await answer
        assert "error" not in said, said
        return said["result"]

    async def evaluate(self, script: str) -> Any:
        return (await self.ask("Runtime.evaluate", expression=script))["result"].get("value")

    async def press(self, key: str) -> None:
        await self.ask("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def be(self, width: int, height: int) -> None:
        """Have so many pixels."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def picture(self) -> bytes:
        return base64.b64decode((await self.ask("Page.captureScreenshot"))["data"])

    async def until_shown(self, *texts: str) -> None:
        """Wait until all of it has come over a WebSocket."""
        await self._until(lambda: all(text in self.shown for text in texts), f"{texts}")

    async def until_sent(self, text: str) -> None:
        """Wait until the page has said it."""
        await self._until(lambda: text in self.sent, f"{text}, in {self.sent}")

    async def until_true(self, script: str) -> None:
        """Wait until the page says that it is so."""
        with anyio.fail_after(_DEADLINE_S):
            while not await self.evaluate(script):
                await anyio.sleep(0.05)

    async def until_still(self) -> bytes:
        """Take pictures until two in a row are alike."""
        before = b""
        with anyio.fail_after(_DEADLINE_S):
            while (picture := await self.picture()) != before:
                before = picture
                await anyio.sleep(0.3)
        return picture

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        with anyio.move_on_after(_DEADLINE_S):
            while not condition():
                await anyio.sleep(0.02)
            return
        raise AssertionError(f"not in time: {what}\n{self.complaints}\n{self.shown[-3000:]}")

    def _note(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Network.webSocketFrameReceived":
                response = params["response"]
                if response["opcode"] == 2:
                    self._raw += base64.b64decode(response["payloadData"])
                    self.shown = self._raw.decode(errors="replace")
            case "Network.webSocketFrameSent":
                self.sent.append(params["response"]["payloadData"])
            case "Runtime.consoleAPICalled" if params["type"] == "error":
                self.complaints.append(json.dumps(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.complaints.append(json.dumps(params["entry"]))
            case "Audits.issueAdded" if params["issue"]["code"] == _POLICY:
                self.complaints.append(json.dumps(params))
            case "Runtime.exceptionThrown" | "Network.loadingFailed":
                self.complaints.append(json.dumps(params))
            case _:
                pass


@asynccontextmanager
async def a_page(*switches: str) -> AsyncIterator[Page]:
    """Start a browser with one empty tab."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "Chromium is not installed; apt-get install chromium"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(  # noqa: ASYNC220  # a moment
            [program, *_SWITCHES, *switches, f"--user-data-dir={home}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = await anyio.to_thread.run_sync(_port, Path(home))
            async with aiohttp.ClientSession() as session, _tab(session, port) as page:
                await page.be(1280, 720)
                await page.ask("Emulation.setFocusEmulationEnabled", enabled=True)
                yield page
        finally:
            process.kill()
            process.wait()


def _port(home: Path) -> str:
    file = home / "DevToolsActivePort"
    lines: list[str] = wait_until(
        lambda: file.exists() and file.read_text().splitlines(), "Chromium", within_s=_DEADLINE_S
    )
    return lines[0]


@asynccontextmanager
async def _tab(session: aiohttp.ClientSession, port: str) -> AsyncIterator[Page]:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        tab = next(one for one in await answer.json() if one["type"] == "page")
    address = tab["webSocketDebuggerUrl"]
    async with (
        session.ws_connect(address, max_msg_size=0) as socket,
        anyio.create_task_group() as tasks,
    ):
        page = Page(socket)
        tasks.start_soon(page.listen)
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            await page.ask(f"{domain}.enable")
        yield page
        tasks.cancel_scope.cancel()
