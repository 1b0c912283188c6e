"""Who may ask: the rules for Host, Origin, fetch site, content type and token. Pure.

A page in a browser can reach a loopback port, by its own origin or by a name that it makes
resolve to 127.0.0.1. It cannot forge these headers, so they decide, on every path.

Source: rules 1 to 7 of the security notes; tests/unit/gateway/test_access.py has the attacks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from localllm.errors import Forbidden, NotJson, Unauthorized

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HTTP_PORT = 80
_CONTROL = re.compile(r"/+api(?![\w.-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it stood on the wire."""

    method: str
    target: str
    """The request line's second word: a path, unless somebody plays tricks."""

    headers: Mapping[str, Sequence[str]]
    """By lower-case name; a header sent twice has two values."""

    has_body: bool
    route: str = ""
    """The route that the router chose, as it was declared; empty if none: what will run
    decides about the token, however the target is spelled."""

    def one(self, name: str) -> str | None:
        """Return a header's value; None if it is absent.

        Raises:
            Forbidden: It was sent more than once, so that two readers could disagree.
        """
        values = self.headers.get(name, ())
        if len(values) > 1:
            raise _forbidden(f"the header {name} was sent {len(values)} times")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Rules:
    """What this daemon admits."""

    port: int
    origins: frozenset[str]
    """Web origins that the user listed."""

    token: str
    """For the control API."""

    def hosts(self) -> frozenset[str]:
        names = ("127.0.0.1", "localhost", "[::1]")
        hosts = {f"{name}:{self.port}" for name in names}
        return frozenset(hosts | set(names) if self.port == _HTTP_PORT else hosts)


def check_access(asked: Asked, rules: Rules) -> None:
    """Admit a request or refuse it.

    Raises:
        Forbidden: Its Host, Origin or fetch site may not ask.
        Unauthorized: It is for the control API and has not the token.
        NotJson: It has a body that is not JSON.
    """
    host = _check_host(asked, rules)
    origin = _check_origin(asked, rules, host)
    _check_site(asked, listed=origin is not None and origin in rules.origins)
    if asked.method == "OPTIONS":
        return
    if _is_for_control(asked):
        _check_token(asked, rules)
    if asked.has_body and asked.method not in _SAFE_METHODS:
        _check_content_type(asked)


def _check_host(asked: Asked, rules: Rules) -> str:
    host = asked.one("host")
    if not asked.target.startswith("/"):
        raise _forbidden(f"the request names another server: {asked.target[:80]!r}")
    if host is None or host.lower() not in rules.hosts():
        raise _forbidden(f"the Host {host!r} is not this daemon's")
    return host.lower()


def _check_origin(asked: Asked, rules: Rules, host: str) -> str | None:
    origin = asked.one("origin")
    if origin is not None and origin != f"http://{host}" and origin not in rules.origins:
        raise _forbidden(f"the Origin {origin[:80]!r} is not listed")
    return origin


def _check_site(asked: Asked, *, listed: bool) -> None:
    site = asked.one("sec-fetch-site")
    if site in {None, "same-origin"} or listed:
        return
    if site == "none" and asked.method in _SAFE_METHODS:  # typed into the address bar
        return
    raise _forbidden(f"a browser sent it from another site ({str(site)[:40]})")


def _is_for_control(asked: Asked) -> bool:
    """Tell by the route, and by the path for what has none, so that a 404 tells nothing."""
    path = unquote(asked.target.partition("?")[0])
    return _CONTROL.match(asked.route) is not None or _CONTROL.match(path) is not None


def _check_token(asked: Asked, rules: Rules) -> None:
    scheme, _, given = (asked.one("authorization") or "").partition(" ")
    right = hmac.compare_digest(given.encode(), rules.token.encode())
    if not right or scheme.lower() != "bearer":
        raise Unauthorized(
            "The control API needs the daemon's token.",
            why="the header Authorization is missing, or its token is not this daemon's",
            fix="use the localllm command, which reads it from daemon.json",
        )


def _check_content_type(asked: Asked) -> None:
    given = (asked.one("content-type") or "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise NotJson(
            "The body must be JSON.",
            why=f"its content type is {given or 'missing'}",
            fix="send the header Content-Type: application/json",
        )


def _forbidden(why: str) -> Forbidden:
    return Forbidden(
        "This request may not be served.",
        why=why,
        fix="ask from a program on this machine at 127.0.0.1; a web page's origin can be listed "
        "under origins in config.toml",
    )


def cors_headers(origin: str | None, rules: Rules) -> Mapping[str, str]:
    """Headers for an answer to a listed origin; none for anybody else, never a wildcard."""
    if origin is None or origin not in rules.origins:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def preflight_headers(origin: str | None, rules: Rules) -> Mapping[str, str]:
    """Answer a preflight of a listed origin.

    Raises:
        Forbidden: The origin is not listed, or none was sent.
    """
    allowed = cors_headers(origin, rules)
    if not allowed:
        raise _forbidden("a preflight is answered for listed origins only")
    return {
        **allowed,
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
    }
