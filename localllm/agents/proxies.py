"""Keeps an agent's requests to this machine off a proxy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_LOOPBACK = ("127.0.0.1", "localhost")


def without_proxy(environment: Mapping[str, str], base: str) -> dict[str, str]:
    """What NO_PROXY has to be so that `base` is asked directly; nothing where no proxy is set.

    In both spellings, since programs differ in which they read.
    """
    if not proxy_variables(environment):
        return {}
    there = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    listed = [host.strip() for host in there.split(",") if host.strip()]
    missing = [host for host in _hosts(base) if host not in listed]
    if "*" in listed or not missing:
        return {}
    value = ",".join([*listed, *missing])
    return {"NO_PROXY": value, "no_proxy": value}


def proxy_warning(environment: Mapping[str, str], base: str) -> tuple[str, ...]:
    """Say that a proxy is in the way, without its address, which may hold a password."""
    needed = without_proxy(environment, base)
    if not needed:
        return ()
    names = " and ".join(proxy_variables(environment))
    return (
        f"{names} would send the agent's requests to a proxy: set NO_PROXY={needed['NO_PROXY']} "
        "where it is started; localllm launch does",
    )


def proxy_variables(environment: Mapping[str, str]) -> list[str]:
    """Name the variables that set a proxy."""
    names = [spelling for name in _PROXIES for spelling in (name, name.lower())]
    return [name for name in names if environment.get(name)]


def _hosts(base: str) -> list[str]:
    host = urlsplit(base).hostname or ""
    return list(dict.fromkeys([*_LOOPBACK, host] if host else _LOOPBACK))
