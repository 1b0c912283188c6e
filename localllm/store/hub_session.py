"""The hub library's session, made here: it trusts what we trust, and goes where we go."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
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
from localllm.units import size

TIMEOUT = httpx2.Timeout(10.0, connect=5.0)
"""Between two pieces of an answer; to be connected, for each address of the host."""

_MOST_BYTES, _MOST_OF_AN_ERROR_BYTES = 64 << 20, 64 << 10
"""Of an answer, unpacked: a listing is some megabytes, an error some words. The library reads it whole
before anybody looks at it."""

_PLAIN = {"accept-encoding": "gzip, deflate"}
"""What the unpacking of each piece is bounded of: others make a gigabyte of a few kilobytes."""

_PACKED = {"gzip", "deflate", "identity", ""}
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
    hooks: dict[str, list[Callable[..., None]]] = {
        "request": [partial(_check, endpoint)],
        "response": [partial(_bound, endpoint)],
    }
    try:
        client = _Client(
            headers=_PLAIN,
            verify=trusted,
            timeout=TIMEOUT,
            follow_redirects=True,
            event_hooks=hooks,
        )
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


def _bound(endpoint: str, answer: httpx2.Response) -> None:
    """Have an answer end with an error where it becomes too long; counted as unpacked.

    Raises:
        NoNetwork: It is packed in a way that was not asked for.
    """
    packed = answer.headers.get_list("content-encoding", split_commas=True)
    if len(packed) > 1 or not {one.strip().lower() for one in packed} <= _PACKED:
        raise hub_errors.no_hub(endpoint, "its answer is packed in a way that was not asked for")
    answer.stream = _Bounded(endpoint, answer, packed)
    answer.headers.pop("content-encoding", None)  # it comes unpacked from there


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, endpoint: str, answer: httpx2.Response, packed: list[str]) -> None:
        assert isinstance(answer.stream, httpx2.SyncByteStream), "our client waits for answers"
        self._endpoint = endpoint
        self._most = _MOST_BYTES if answer.is_success else _MOST_OF_AN_ERROR_BYTES
        self._stream = answer.stream
        told = {"content-encoding": packed[0]} if packed else {}
        self._inner = httpx2.Response(
            200, headers=told, stream=self._stream, request=answer.request
        )

    @property
    def elapsed(self) -> timedelta | None:
        """As the library's own streams, which its answers are asked for."""
        found = getattr(self._stream, "elapsed", None)
        return found if isinstance(found, timedelta) else None

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for piece in self._inner.iter_bytes():
            count += len(piece)
            if count > self._most:
                why = f"its answer is longer than {size(self._most)}"
                raise hub_errors.no_hub(self._endpoint, why)
            yield piece

    def close(self) -> None:
        self._inner.close()
