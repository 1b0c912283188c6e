"""Who gets in: one browser, by an address that works once and leaves a cookie behind.

The pages are in a folder whose name is drawn with each start. A cookie knows no port: without the
folder, every other program that this browser asks at 127.0.0.1 would be sent it. The cookie's own
name is drawn too: one of that name from another port would hide it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

from localllm.web.answers import in_words

_START_ANEW = (
    "To get another one, end localllm tui --web with Ctrl-C in its terminal and start it again."
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Entry:
    """The door of one server. Mutable: its token is taken once."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.folder = f"/{secrets.token_hex(8)}"
        self.sockets = f"{self.folder}/ws"
        self._cookie_name = f"localllm-{secrets.token_hex(8)}"
        self._cookie = secrets.token_urlsafe(32)
        self._is_used = False

    async def exchange(self, request: web.Request) -> web.Response:
        """Take the token for a cookie, and lead on to where no token is in the address."""
        given = request.query.get("token")
        if given is None:
            return in_words(
                401,
                "This is the screen of localllm, and needs its key.",
                "Open the address that localllm tui --web printed when it was started.",
            )
        if not hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return in_words(401, "The token in this address is not this screen's.", _START_ANEW)
        if self._is_used:
            return in_words(401, "This address has been used; it works once.", _START_ANEW)
        self._is_used = True
        answer = web.Response(status=303, headers={"Location": f"{self.folder}/"})
        answer.set_cookie(
            self._cookie_name,
            self._cookie,
            path=f"{self.folder}/",
            httponly=True,
            samesite="Strict",
        )
        return answer

    def gate(self) -> Handler:
        """Make the middleware that stands behind the gateway's: all but the entrance wants the cookie."""

        @web.middleware
        async def gated(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            route = "" if resource is None else resource.canonical
            if route == "/":
                return await handler(request)
            if not self._knows(request):
                return in_words(
                    401,
                    "This browser has not been let in, or localllm tui --web was started anew.",
                    "Open the address that it printed when it was started. " + _START_ANEW,
                )
            if route == self.sockets and "Origin" not in request.headers:
                return in_words(403, "The screen's WebSocket is for its own page alone.")
            try:
                return await handler(request)
            except web.HTTPError as error:
                return in_words(error.status, f"{error.reason}.")

        return gated  # type: ignore[return-value]  # aiohttp's decorator hides the two arguments

    def _knows(self, request: web.Request) -> bool:
        given = request.cookies.get(self._cookie_name, "")
        return hmac.compare_digest(given.encode(errors="replace"), self._cookie.encode())
