"""The hub library's session, made here: it trusts what we trust, and goes where we go."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import get_session, set_client_factory

from localllm.errors import ConfigError
from localllm.store import hub_errors
from localllm.store.access import endpoint_of
from localllm.store.names import shown
from localllm.transfer.trust import OWN_AUTHORITIES, trust

TIMEOUT = httpx2.Timeout(10.0, connect=5.0)
"""Between two pieces of an answer; to be connected, for each address of the host."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_SESSION = threading.Lock()
"""The library has one session for all; two threads would close each other's."""

_Key: TypeAlias = tuple[str | None, ...]
"""All that a session depends on."""


class _Client(httpx2.Client):
    """The library's session, made by us."""

    made_for: _Key = ()


def session_for(environment: Mapping[str, str]) -> httpx2.Client:
    """Let the library ask as the environment says, and return its session.

    Proxies are those of this process, as for all that we fetch.

    Raises:
        ConfigError: A file of certificates or a proxy that is named cannot be used.
    """
    endpoint = endpoint_of(environment)
    authorities = (environment.get(name) for name in OWN_AUTHORITIES)
    proxies = (f"{k}={v}" for k, v in sorted(os.environ.items()) if k.lower() in _PROXIES)
    key = (endpoint, *authorities, *proxies)
    with _SESSION:
        with suppress(ImportError, ValueError, httpx2.InvalidURL, ConfigError):
            current = get_session()  # which makes one if there is none, and that may fail
            if isinstance(current, _Client) and current.made_for == key:
                return current
        trusted = trust(environment)

        make = partial(_client, key, endpoint, trusted)
        make().close()  # what cannot be made is said now, and not whenever the library makes one
        set_client_factory(make)
        return get_session()


def _client(key: _Key, endpoint: str, trusted: ssl.SSLContext) -> httpx2.Client:
    hooks: dict[str, list[Callable[..., None]]] = {"request": [partial(_check, endpoint)]}
    try:
        client = _Client(verify=trusted, timeout=TIMEOUT, follow_redirects=True, event_hooks=hooks)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise hub_errors.no_proxy(shown(str(error))) from error
    client.made_for = key
    return client


def _check(endpoint: str, request: httpx2.Request) -> None:
    """Go where a redirect leads only if that is https, or the hub's own host as it was named."""
    hub = urlsplit(endpoint)
    same = (request.url.scheme, request.url.host) == (hub.scheme, hub.hostname)
    if request.url.scheme != "https" and not same:
        raise hub_errors.led_away(endpoint, str(request.url.copy_with(query=None)))
