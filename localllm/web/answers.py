"""What a browser gets to see beside the screen: the page around it, and refusals in words."""

from __future__ import annotations

from html import escape
from pathlib import Path

from aiohttp import web

from localllm.errors import LocalLLMError

PAGE = Path(__file__).with_name("page")
_POLICY = web.RequestKey("policy", str)
_ALWAYS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""A page that a link in the screen opens gets no hold of this one."""


def in_words(status: int, *sentences: str) -> web.Response:
    """Tell a person."""
    return web.Response(status=status, text="\n".join(["localllm", "", *sentences, ""]))


def refusal(error: Exception, _path: str) -> web.Response:
    """Tell a person why a request was not let through, and not what the daemon would advise."""
    if isinstance(error, LocalLLMError):
        return in_words(error.http_status, error.what, f"why: {error.why}", _AS_PRINTED)
    return in_words(500, "This failed, and should not have. The terminal has more of it.")


_AS_PRINTED = (
    "fix: open the address that localllm tui --web printed; through ssh -L, with the same port "
    "on both sides"
)


def screen_page(request: web.Request, sockets: str) -> web.Response:
    """Show the page that a screen is drawn in.

    Args:
        sockets: The path at which it finds its WebSocket.
    """
    request[_POLICY] = _policy(request.host)
    text = (PAGE / "index.html").read_text()
    text = text.replace("{{socket}}", escape(f"ws://{request.host}{sockets}"))
    return web.Response(text=text, content_type="text/html")


def _policy(host: str) -> str:
    """Allow what the page needs, from here: xterm.js, which draws the screen, writes style sheets."""
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "font-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' ws://{host}",  # older browsers take 'self' for http alone
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


async def sign_answers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on every answer that a browser wants, over those of the gateway."""
    response.headers.update(_ALWAYS)
    if _POLICY in request:
        response.headers["Content-Security-Policy"] = request[_POLICY]
