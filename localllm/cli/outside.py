"""Whether the outside may be asked, and whether a hub is in reach. No hub's library is loaded for it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from localllm.errors import NoNetwork
from localllm.store.access import endpoint_of
from localllm.store.access import is_offline as forbids_hubs

_WITHIN_S = 3.0
_PORTS = {"http": 80, "https": 443}


def is_offline(environment: Mapping[str, str], *, asked: bool) -> bool:
    """Tell whether nothing may be fetched: by `--offline`, or by huggingface_hub's variable."""
    return asked or forbids_hubs(environment)


def offline_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The same, in which no hub may be asked."""
    return {**environment, "HF_HUB_OFFLINE": "1"}


def not_fetched(what: str, environment: Mapping[str, str]) -> NoNetwork:
    """Say that something is lacking and that nothing may be fetched."""
    by_variable = forbids_hubs(environment)
    name = "HF_HUB_OFFLINE" if by_variable else "--offline"
    return NoNetwork(
        f"{what} is not on this disk, and nothing may be fetched.",
        why=f"{name} is set" if by_variable else f"{name} was given",
        fix=f"the same without {name}, or one of those that localllm ls shows",
    )


def why_no_hub(environment: Mapping[str, str], within_s: float = _WITHIN_S) -> str | None:
    """Look whether the hub, or the proxy to it, takes connections; None: it does.

    In a thread of its own, since the system may look a name up for longer than anybody waits.
    """
    try:
        host, port = _where(environment)
    except ValueError as error:
        return f"HF_ENDPOINT, or a proxy's variable, holds no address: {error}"
    said: list[str | None] = []
    look = threading.Thread(target=lambda: said.append(_try(host, port, within_s)), daemon=True)
    look.start()
    look.join(within_s)
    return said[0] if said else f"{host} did not answer within {within_s:.0f} s"


def _try(host: str, port: int, within_s: float) -> str | None:
    try:
        socket.create_connection((host, port), timeout=within_s).close()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return f"{host} cannot be reached: {reason or error}"
    return None


def _where(environment: Mapping[str, str]) -> tuple[str, int]:
    """Who is asked first on the way to the hub."""
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  # it takes 20 ms

    hub = urlsplit(endpoint_of(environment))
    host = _required(hub.hostname)
    proxy = None if proxy_bypass(host) else getproxies().get(hub.scheme)
    if proxy is None:
        return host, hub.port or _PORTS.get(hub.scheme, 443)
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return _required(way.hostname), way.port or _PORTS.get(way.scheme, 80)


def _required(host: str | None) -> str:
    if not host:
        raise ValueError("it names no host")
    return host
