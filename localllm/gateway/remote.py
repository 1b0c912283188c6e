"""Sends to a server elsewhere what cannot be answered here, and marks what comes from there.

Off unless configured. Of the client's request its body alone goes there, with our key; its own
key and headers stay here. No redirect is followed, since the key would go with it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from io import BytesIO
from ssl import SSLContext
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import anyio
from aiohttp import web

from localllm import __version__
from localllm.config.remote import Remote
from localllm.errors import LocalLLMError
from localllm.gateway.middleware import SERVED_BY
from localllm.gateway.outputs import Output, Source
from localllm.gateway.remote_key import RemoteKey
from localllm.gateway.remote_rules import (
    RemoteFailed,
    after,
    broken_off,
    for_remote,
    may_go,
    name_there,
    not_reached,
    remote_error,
)
from localllm.metrics.live import Live
from localllm.metrics.savings import REMOTE
from localllm.supervisor.flow import Flow
from localllm.supervisor.hosted import Hosted
from localllm.supervisor.lending import Asking
from localllm.transfer.trust import trust

_CONNECT_S = 20.0
"""Waiting for one of the connections included."""

_SILENCE_S = 600.0
"""What OpenAI's own client waits: an answer that is not streamed comes when all of it is there."""

_CONNECTIONS = 100
_ERROR_BYTES = 1 << 16
_MOST_BYTES = 64 << 20
"""Of an answer that is not streamed, which is held in memory."""

_GOODBYE_S = 2.0


class RemoteCall(Protocol):
    """What of a request counts here; see relay.py."""

    @property
    def request(self) -> web.Request: ...
    @property
    def path(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def asking(self) -> Asking: ...
    @property
    def output(self) -> Output: ...
    @property
    def live(self) -> Live: ...


class RemoteBackend:
    """One remote. It is not looked up, and no connection is opened, before a request goes there.

    Args:
        environment: The daemon's.
    """

    def __init__(self, remote: Remote, environment: Mapping[str, str]) -> None:
        self._remote = remote
        self._environment = environment
        self._key = RemoteKey(remote, environment)
        self._host = urlsplit(remote.url).netloc
        self._session: aiohttp.ClientSession | None = None
        self._one_at_a_time = anyio.Lock()

    async def aclose(self) -> None:
        if self._session is not None:
            with anyio.move_on_after(_GOODBYE_S, shield=True):
                await self._session.close()

    async def answer(
        self, call: RemoteCall, hosted: Hosted | None, error: LocalLLMError
    ) -> web.StreamResponse:
        """Answer in place of the instance that failed with `error`.

        Args:
            hosted: Who answers to the name here; None if nobody does.

        Raises:
            LocalLLMError: `error` itself, if that is none for the remote; or what went wrong there.
        """
        asked = call.live.asked
        if not may_go(error, asked, self._remote):
            raise error
        here = None if hosted is None else hosted.planned.stored.id
        there = name_there(asked, call.asking.model, here, self._remote)
        body = for_remote(call.body, there)
        try:
            async with self._sent(call, body) as answer:
                call.live.admitted(REMOTE, there, REMOTE)
                if hosted is not None:
                    hosted.remote += 1
                return await call.output.pass_on(self._source(answer))
        except LocalLLMError as failure:
            raise after(error, failure) from error

    def _source(self, answer: aiohttp.ClientResponse) -> Source:
        remark = f": served by remote {self._host}\n\n".encode()
        return Source(answer, Flow(), lambda: broken_off(self._host), remark, _MOST_BYTES)

    @asynccontextmanager
    async def _sent(self, call: RemoteCall, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a body; leaving the block before the answer's end closes the connection."""
        key = await self._key.read()
        session = await self._opened()
        url = self._remote.url.rstrip("/") + call.path.removeprefix("/v1")
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            answer = await session.post(
                url, data=BytesIO(body), headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            raise not_reached(self._host, error) from error
        async with answer:
            call.request[SERVED_BY] = f"remote:{self._host}"
            await self._check(answer, key)
            yield answer

    async def _check(self, answer: aiohttp.ClientResponse, key: str | None) -> None:
        if answer.status != HTTPStatus.OK:
            try:
                said = await answer.content.read(_ERROR_BYTES)
            except (aiohttp.ClientError, OSError) as error:
                raise broken_off(self._host) from error
            raise remote_error(self._host, answer.status, said, key)
        if answer.content_type == "text/html":
            raise RemoteFailed(
                f"What {self._host} answers is no API.",
                why="it sends a page for people: of a login, or of a proxy on the way",
                fix="correct url under [remote] in config.toml",
                will_pass=False,
            )

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._one_at_a_time:
            if self._session is None:
                trusted, proxy = await anyio.to_thread.run_sync(self._surroundings)
                self._session = _session(trusted, proxy)
            return self._session

    def _surroundings(self) -> tuple[SSLContext | None, str | None]:
        """Read whom to trust and the proxy on the way, as downloads do; slow.

        Not by aiohttp's `trust_env`, which would send .netrc's passwords, too.
        """
        parts = urlsplit(self._remote.url)
        proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
        return trust(self._environment) if parts.scheme == "https" else None, proxy


def _session(trusted: SSLContext | None, proxy: str | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=True if trusted is None else trusted, limit=_CONNECTIONS, force_close=True
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"localllm/{__version__}",
        },
        proxy=proxy,
        timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_SILENCE_S),
    )
