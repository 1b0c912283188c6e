"""How we reach the outside: through the user's proxies, trusting what their system trusts."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import truststore

from localllm.errors import ConfigError

Session = aiohttp.ClientSession

_OWN_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
"""Variables in which people name their company's certificates, for one tool or another."""

_CONNECT_S, _SILENCE_S = 20.0, 30.0
"""A server that says nothing for so long counts as lost; it is asked again."""


def trust(environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the system's store, which a company's authority is in, and the files that are named.

    Raises:
        ConfigError: A file that is named is not there, or holds no certificate.
    """
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in _OWN_AUTHORITIES:
        if environment.get(name):
            _trust_also(context, name, Path(environment[name]))
    return context


def _trust_also(context: ssl.SSLContext, variable: str, place: Path) -> None:
    """Trust a file of certificates, or a folder of them by their hashes, as requests does."""
    file, folder = (None, place) if place.is_dir() else (place, None)
    try:
        context.load_verify_locations(cafile=file, capath=folder)
    except OSError as error:
        raise ConfigError(
            f"{variable} names no file of certificates.",
            why=f"{place}: {error.strerror or error}",
            fix=f"correct {variable}, or take it out of the environment",
        ) from error


@asynccontextmanager
async def outside(environment: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for downloads. HTTPS_PROXY, NO_PROXY and .netrc are honoured."""
    connector = aiohttp.TCPConnector(ssl=trust(environment))
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=True, auto_decompress=False
    ) as session:
        yield session
