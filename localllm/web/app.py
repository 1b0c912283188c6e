"""Puts the server of the screen together: the gateway's first middleware, the gate, the pages."""

from __future__ import annotations

import importlib.util
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
from aiohttp import web

from localllm.errors import LocalLLMError, PortTaken
from localllm.gateway import middleware
from localllm.gateway.access import Rules
from localllm.gateway.connection import Limits
from localllm.gateway.listening import bound, serving
from localllm.web.answers import PAGE, refusal, screen_page, sign_answers
from localllm.web.child import Screen
from localllm.web.entry import Entry
from localllm.web.sessions import Sessions

_FRONT_END = "textual_serve"
_MOST_CONNECTIONS = 64


async def serve_screen(screen: Screen, port: int, announce: Callable[[str], None]) -> None:
    """Serve the screen to a browser of this machine until SIGINT or SIGTERM.

    Args:
        port: 0 is any that is free.
        announce: Gets the address that lets a browser in, once.

    Raises:
        PortTaken: Another program has the port.
        LocalLLMError: textual-serve is not installed.
    """
    statics, entry = find_front_end(), Entry()
    try:
        with bound(port) as sockets, anyio.open_signal_receiver(*_ENDING) as signals:
            here = sockets[0].getsockname()[1]
            app = application(screen, entry, here, statics)
            async with serving(app, sockets, Limits(most=_MOST_CONNECTIONS)):
                announce(f"http://127.0.0.1:{here}/?token={entry.token}")
                async for _ in signals:
                    return
    except PortTaken as error:
        raise PortTaken(
            error.what, why=error.why, fix="localllm tui --web, which takes a port that is free"
        ) from error


_ENDING = (signal.SIGINT, signal.SIGTERM)


def application(screen: Screen, entry: Entry, port: int, statics: Path) -> web.Application:
    """Make the application."""
    rules = Rules(
        port,
        origins=frozenset(),
        token=secrets.token_hex(32),  # of a control API that is not here
        sockets=frozenset({entry.sockets}),
    )
    sessions = Sessions(screen)

    async def show_page(request: web.Request) -> web.Response:
        return screen_page(request, entry.sockets)

    first = middleware.guard(lambda: rules, answer=refusal)
    app = web.Application(middlewares=[first, entry.gate()])  # type: ignore[list-item]
    app.on_response_prepare.append(middleware.sign_answers(lambda: rules))
    app.on_response_prepare.append(sign_answers)
    app.on_shutdown.append(sessions.close)
    app.add_routes(
        [
            web.get("/", entry.exchange, allow_head=False),
            web.get(f"{entry.folder}/", show_page),
            web.get(entry.sockets, sessions.show, allow_head=False),
            web.static(f"{entry.folder}/static", statics),
            web.static(f"{entry.folder}/own", PAGE),
        ]
    )
    return app


def find_front_end() -> Path:
    """Find the files of textual-serve that a page loads.

    Raises:
        LocalLLMError: It is not installed.
    """
    found = importlib.util.find_spec(_FRONT_END)
    if found is None or found.origin is None:
        raise LocalLLMError(
            "The screen cannot be shown in a browser.",
            why="textual-serve, which draws it there, is not installed with localllm",
            fix="pip install 'localllm[web]'; localllm tui shows it in this terminal",
        )
    return Path(found.origin).parent / "static"
