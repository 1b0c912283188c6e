"""Proxies in the environment: agents would send to them what is meant for this very machine."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from localllm.agents.proxies import proxy_variables, without_proxy
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known

_A = Area.PROXY
_KNOWN = frozenset({"http", "https", "socks4", "socks5", "socks5h"})


def check_proxies(known: Known) -> Iterator[Finding]:
    """Whether a proxy is asked for this machine."""
    environment = known.place.environment
    names = proxy_variables(environment)
    if not names:
        yield ok("proxy.none", _A, "No proxy is set.")
        return
    needed = without_proxy(environment, f"http://127.0.0.1:{known.port}")
    if needed:
        yield Finding(
            "proxy.takes-localhost",
            _A,
            Severity.WARNING,
            f"{' and '.join(names)} is set, and NO_PROXY does not leave this machine out.",
            "agents send their requests for 127.0.0.1 to the proxy, which cannot reach it, or reads them",
            f"export NO_PROXY={word(needed['NO_PROXY'])} no_proxy={word(needed['no_proxy'])}",
        )
    else:
        yield ok("proxy.spares-localhost", _A, "The proxy is not asked for this machine.")
    for name in names:
        yield from _malformed(name, environment[name])


def _malformed(name: str, value: str) -> Iterator[Finding]:
    """Without its value, which may hold a password."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in _KNOWN and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        yield Finding(
            "proxy.malformed",
            _A,
            Severity.PROBLEM,
            f"{name} is no proxy's address.",
            "nothing can be fetched through it; it begins with http:// and has a host",
            f"export {name}=http://proxy.example.com:3128",
        )
