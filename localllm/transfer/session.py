"""How we reach the outside: through the user's proxies, trusting what their system trusts."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
from yarl import URL

from localllm.errors import ConfigError
from localllm.transfer.addresses import has_password, is_plain, shown, without_password
from localllm.transfer.trust import trust

READ_BYTES = 128 << 10
"""What aiohttp holds back for us at most, or nearly: that much is lost with a connection that breaks."""

_CONNECT_S, _SILENCE_S = 20.0, 30.0
"""A server that says nothing for so long counts as lost; it is asked again."""


class Session:
    """Connections to the outside.

    Not by aiohttp's `trust_env`, which sends a password of .netrc to wherever we are redirected,
    and refuses to work where there is a token, too.
    """

    def __init__(self, http: aiohttp.ClientSession, passwords: Mapping[str, str]) -> None:
        self._http = http
        self._passwords = passwords
        self._proxies: dict[tuple[str, str], str | None] = {}

    def get(
        self, url: str, headers: Mapping[str, str], *, is_own: bool
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Ask for what is at `url`, and follow nowhere.

        Args:
            is_own: It is the address that the user wanted, and may be told who they are.
        """
        host = urlsplit(url).hostname or ""
        knows_us = has_password(url)
        if knows_us:  # a mirror's own password is not sent beside the hub's token
            headers = {name: text for name, text in headers.items() if name != "authorization"}
        elif is_own and host in self._passwords:
            headers = {"authorization": self._passwords[host], **headers}
        return self._http.get(
            URL(url, encoded=is_plain(url)),
            headers=headers,
            proxy=self._proxy(url, host),
            read_bufsize=READ_BYTES,
            allow_redirects=False,
        )

    def _proxy(self, url: str, host: str) -> str | None:
        key = urlsplit(url).scheme, host
        if key not in self._proxies:
            self._proxies[key] = None if proxy_bypass(host) else _proxy_for(key[0])
        return self._proxies[key]


@asynccontextmanager
async def outside(environment: Mapping[str, str]) -> AsyncIterator[Session]:
    """A session for downloads. HTTPS_PROXY, NO_PROXY and .netrc are honoured."""
    context, passwords = await anyio.to_thread.run_sync(_surroundings, environment)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        auto_decompress=False,
    ) as http:
        yield Session(http, passwords)


def _surroundings(
    environment: Mapping[str, str],
) -> tuple[ssl.SSLContext, Mapping[str, str]]:
    return trust(environment), _read_passwords(environment)


def _read_passwords(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Read .netrc: how we name ourselves to the hosts in it, but not to all others."""
    stated = environment.get("NETRC")
    found: dict[str, str] = {}
    with suppress(
        OSError, NetrcParseError, ValueError, RuntimeError
    ):  # as curl: then there is none
        file = Path(stated) if stated else Path("~/.netrc").expanduser()
        for host, (login, account, password) in netrc(file).hosts.items():
            if host != "default" and password is not None:
                text = f"{login or account}:{password}".encode()
                found[host] = f"Basic {b64encode(text).decode()}"
    return found


def _proxy_for(scheme: str) -> str | None:
    """Find the user's proxy.

    Raises:
        ConfigError: It is of a kind that we do not speak to.
    """
    proxy = getproxies().get(scheme)
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigError(
            f"The proxy for {scheme} cannot be used.",
            why=f"{shown(without_password(proxy))} is no http or https proxy",
            fix=f"let {scheme.upper()}_PROXY name one that is, or unset it",
        )
    return proxy
