"""Who may ask: the rules for Host, Origin, fetch site, content type, token and keys. Pure.

A page in a browser can reach a loopback port, by its own origin or by a name that it makes
resolve to 127.0.0.1. It cannot forge these headers, so they decide, on every path.

Who is local needs no key, unless the settings say so: a peer on loopback that also asks for a
loopback name. Whoever comes in another way, by another address or through a proxy that passes its
own name on, shows a key. The control API is for who is local, and always wants its token.

Source: rules 1 to 7 of the security notes; tests/unit/gateway/test_access.py has the attacks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from localllm.api.exposure import LOOPBACK
from localllm.api.keys import Key, find_key
from localllm.errors import Forbidden, NotJson, NoUpgrade, Unauthorized
from localllm.gateway.callers import ANYONE, LOCALS, Caller, caller_of

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HTTP_PORT = 80
_CONTROL = re.compile(r"/+api(?![\w.-])", re.IGNORECASE)
_OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that tell nothing but that we are there."""

_LISTED_HEADERS = "Authorization, Content-Type, X-Api-Key, Anthropic-Version, Anthropic-Beta"
"""That a listed web page may send."""

_DESCRIPTION = "/api/v1/openapi.json"
"""The one route of the control API that needs no token."""


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

    peer: str = ""
    """The address it came from; empty is unknown, and counts as foreign."""

    reached: str = ""
    """The address of ours that it was sent to; empty is unknown."""

    at: float = 0.0
    """Unix seconds: keys expire by it."""

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

    names: frozenset[str] = frozenset()
    """More Host names, in small letters; one without a port stands for ours, and for none."""

    is_exposed: bool = False
    """Whether it listens beyond loopback: then each address that it is reached at is a Host."""

    wants_key: bool = False
    """Whether who is local needs a key, too."""

    keys: tuple[Key, ...] = ()

    sockets: frozenset[str] = frozenset()
    """Routes at which a WebSocket is spoken; the daemon has none."""

    def local_hosts(self) -> frozenset[str]:
        return self._with_port("127.0.0.1", "localhost", "[::1]")

    def hosts(self, reached: str) -> frozenset[str]:
        """Every Host of ours, for a request that came to the address `reached`."""
        hosts = self.local_hosts() | self.names | {f"{name}:{self.port}" for name in self.names}
        if not self.is_exposed or not reached:
            return hosts
        address = reached.partition("%")[0]  # without the interface of a link-local one
        return hosts | self._with_port(f"[{address}]" if ":" in address else address)

    def _with_port(self, *names: str) -> frozenset[str]:
        hosts = {f"{name}:{self.port}" for name in names}
        return frozenset(hosts | set(names) if self.port == _HTTP_PORT else hosts)


def check_access(asked: Asked, rules: Rules) -> Caller:
    """Admit a request and say who sent it, or refuse it.

    Raises:
        Forbidden: Its Host, Origin or fetch site may not ask, or not for the control API.
        Unauthorized: It is for the control API and has not the token, or it has not the key
            that it needs.
        NoUpgrade: It wants a WebSocket.
        NotJson: It has a body that is not JSON.
    """
    host = _check_host(asked, rules)
    origin = _check_origin(asked, rules, host)
    _check_site(asked, listed=origin is not None and origin in rules.origins)
    if asked.method == "OPTIONS":
        return ANYONE
    is_local = asked.peer in LOOPBACK and host in rules.local_hosts()
    if _is_for_control(asked):
        caller = _check_control(asked, rules, is_local=is_local)
    else:
        caller = ANYONE if asked.route in _OPEN else _check_key(asked, rules, is_local=is_local)
    if asked.route not in rules.sockets:
        _check_upgrade(asked)
    if asked.has_body and asked.method not in _SAFE_METHODS:
        _check_content_type(asked)
    return caller


def _check_host(asked: Asked, rules: Rules) -> str:
    host = asked.one("host")
    if not asked.target.startswith("/"):
        raise _forbidden(f"the request names another server: {asked.target[:80]!r}")
    if host is None or host.lower() not in rules.hosts(asked.reached):
        raise _forbidden(f"the Host {str(host)[:80]!r} is not this daemon's")
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


def _check_control(asked: Asked, rules: Rules, *, is_local: bool) -> Caller:
    if not is_local:
        raise _forbidden("the control API is for programs of its own machine")
    if asked.route == _DESCRIPTION and asked.method in _SAFE_METHODS:
        return LOCALS
    if not _is_token(_bearer(asked), rules):
        raise Unauthorized(
            "The control API needs the daemon's token.",
            why="the header Authorization is missing, or its token is not this daemon's",
            fix="use the localllm command, which reads it from daemon.json",
        )
    return LOCALS


def _check_key(asked: Asked, rules: Rules, *, is_local: bool) -> Caller:
    """Find whose key was sent. Clients on loopback send all sorts of keys that mean nothing."""
    sent = {key for key in (_bearer(asked), asked.one("x-api-key")) if key}
    only = next(iter(sent)) if len(sent) == 1 else ""
    found = find_key(rules.keys, only)
    if found is not None and found.is_valid(asked.at):
        return caller_of(found)
    if is_local and (not rules.wants_key or _is_token(only, rules)):
        return LOCALS
    raise Unauthorized(
        "An API key is needed here.",
        why=_why_not(sent, None if found is None else found.name),
        fix="send a valid one as Authorization: Bearer KEY, or as x-api-key: KEY; on the "
        "daemon's machine, localllm key create NAME makes one",
    )


def _why_not(sent: set[str], expired: str | None) -> str:
    if expired is not None:
        return f"the key {expired!r} has expired"
    if len(sent) > 1:
        return "the headers Authorization and x-api-key have two different keys"
    return "the request's key is not known" if sent else "the request has none"


def _bearer(asked: Asked) -> str:
    """Read the bearer token; empty if there is none."""
    scheme, _, given = (asked.one("authorization") or "").partition(" ")
    return given if scheme.lower() == "bearer" else ""


def _is_token(given: str, rules: Rules) -> bool:
    return hmac.compare_digest(given.encode(), rules.token.encode())


def _check_upgrade(asked: Asked) -> None:
    """Refuse a WebSocket with the one status that has Codex fall back to HTTP after one try."""
    if any("websocket" in value.lower() for value in asked.headers.get("upgrade", ())):
        raise NoUpgrade(
            "There is no WebSocket here.",
            why="answers are streamed as server-sent events",
            fix="send a POST; Codex does so by itself",
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
        fix="ask from a program on this machine at 127.0.0.1; config.toml can list a web page's "
        "origin under origins, and another name of this machine under allowed_hosts",
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
        "Access-Control-Allow-Headers": _LISTED_HEADERS,
    }
