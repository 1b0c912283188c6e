"""The WebSockets: each shows one screen, and there are a few at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import anyio
from aiohttp import WSCloseCode, WSMsgType, web

from localllm.web.child import Child, Screen, running
from localllm.web.packets import Pinged, Size, packet_for, parse_message, parse_size

MOST_SCREENS = 4
_MOST_BYTES = 256 << 10
"""Of one message of a page: what somebody pastes at once."""

_HEARTBEAT_S = 20.0
"""A page that does not answer within half of it has gone."""

_CLOSE_S = 0.5
"""For a page to say goodbye; while the server ends, aiohttp 3.14 hears none of it."""

_FULL = (
    f"{MOST_SCREENS} screens of localllm are open in browsers already.\n"
    "Close one of them, and open this one again."
)
_NONSENSE = "The page and the screen do not understand each other.\nReload the page."
_CRASHED = (
    "The screen has ended, and should not have.\nlogs/screen.log in the state folder may tell why."
)
_CLEARED = b"\x1b[?1049l\x1b[2J\x1b[H\r\n"
_LATE = "The screen did not start in time.\nTry it again when the machine has less to do."


Said: TypeAlias = Awaitable[str | None]


class Sessions:
    """All screens in browsers. Mutable."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._open: set[anyio.CancelScope] = set()

    async def show(self, request: web.Request) -> web.WebSocketResponse:
        """Show a screen for as long as both sides want."""
        websocket = web.WebSocketResponse(
            timeout=_CLOSE_S, heartbeat=_HEARTBEAT_S, max_msg_size=_MOST_BYTES, compress=False
        )
        await websocket.prepare(request)
        if len(self._open) < MOST_SCREENS:
            await self._show(websocket, parse_size(request.query))
        else:
            await _close(websocket, WSCloseCode.TRY_AGAIN_LATER, _FULL)
        return websocket

    async def close(self, _app: web.Application) -> None:
        """End them all: the server ends."""
        for scope in tuple(self._open):
            scope.cancel()

    async def _show(self, websocket: web.WebSocketResponse, size: Size) -> None:
        last = None
        with anyio.CancelScope() as scope:
            self._open.add(scope)
            try:
                async with running(self._screen, size) as child:
                    last = await _attend(websocket, child)
            except OSError as error:
                last = f"The screen could not be started: {error.strerror or error}"
            finally:
                self._open.discard(scope)
        code = WSCloseCode.GOING_AWAY if scope.cancel_called else WSCloseCode.OK
        await _close(websocket, code, last)


async def _attend(websocket: web.WebSocketResponse, child: Child) -> str | None:
    """Carry what is said from one to the other until one of them ends.

    Returns:
        What is to be said to the page at last.
    """
    last: list[str | None] = []
    async with anyio.create_task_group() as tasks:

        async def until_it_ends(task: Callable[[web.WebSocketResponse, Child], Said]) -> None:
            last.append(await task(websocket, child))
            tasks.cancel_scope.cancel()

        tasks.start_soon(until_it_ends, _show_all)
        await until_it_ends(_heed_all)
    return last[0] if last else None


async def _show_all(websocket: web.WebSocketResponse, child: Child) -> str | None:
    try:
        async for shown in child.shown():
            await websocket.send_bytes(shown)
    except ConnectionError:  # the page has gone, which is its right
        return None
    except TimeoutError:
        return _LATE
    except ValueError:
        return _NONSENSE
    code = await child.wait()
    return None if code == 0 else _CRASHED


async def _heed_all(websocket: web.WebSocketResponse, child: Child) -> str | None:
    async for message in websocket:
        try:
            heard = parse_message(message.data if message.type is WSMsgType.TEXT else "")
        except ValueError:
            return _NONSENSE
        if isinstance(heard, Pinged):
            with suppress(ConnectionError):
                await websocket.send_json(["pong", heard.at])
        else:
            await child.tell(packet_for(heard))
    return None


async def _close(websocket: web.WebSocketResponse, code: WSCloseCode, last: str | None) -> None:
    """Close it, with some words on the terminal of the page if there are any."""
    with suppress(ConnectionError):
        if last is not None:
            await websocket.send_bytes(_CLEARED + last.replace("\n", "\r\n").encode())
        await websocket.close(code=code)
