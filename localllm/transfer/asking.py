"""One request for a range of a file: where it is, whether the answer is it, and who may be told our token.

A hub keeps its files elsewhere and sends us there by an address that is good for a while: it is kept
for the pieces that follow, and asked for again when it has run out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

import aiohttp

from localllm.errors import NoNetwork, WrongContent
from localllm.transfer.digests import Digest

READ_BYTES = 64 << 10
"""What aiohttp holds back for us at most, or nearly: that much is lost with a connection that breaks."""

_MOST_HOPS = 5
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOVED = frozenset({301, 302, 303, 307, 308})
_RAN_OUT = frozenset({400, 401, 403, 404, 410})
"""What a storage says to an address that was good before."""

_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NOBODY = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError),
    *(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
)
"""There is no server at all, or no way to it."""

_AS_IT_IS = {"Accept-Encoding": "identity"}
"""Else a mirror may compress what it sends, and its hash and its ranges are another file's."""

_PART = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_CONNECT = "connect to the network, or set HTTPS_PROXY if there is a proxy in between"
_TRUST = "if your network inspects TLS, name the file of its certificates in SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be had."""

    url: str
    digest: Digest
    size_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """For the server that `url` names, and no other: a token, say."""

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]


class Refused(NoNetwork):
    """The server was reached, and has no such file for us.

    Args:
        status: What it answers with.
        code: The hub's own word for it, as in GatedRepo; empty without one.
    """

    own_code = "no_network"
    retryable = False

    def __init__(self, what: str, *, why: str, fix: str, status: int = 0, code: str = "") -> None:
        super().__init__(what, why=why, fix=fix)
        self.status = status
        self.code_of_hub = code


class TryAgain(Exception):
    """An attempt failed in a way that may pass.

    Args:
        after_s: What the server asks for; None leaves it to us.
        answered: Whether there is a server at all; if there never was, waiting is of no use.
        busy: It has too much to do, of us perhaps.
    """

    def __init__(
        self,
        why: str,
        *,
        after_s: float | None = None,
        answered: bool = True,
        busy: bool = False,
    ) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.answered = answered
        self.busy = busy


@dataclass(slots=True)
class Asking:
    """Asks for ranges of one file, over one session."""

    session: aiohttp.ClientSession
    wanted: Wanted
    _elsewhere: str | None = None
    """Where the last answer came from, if that is another place."""

    @asynccontextmanager
    async def ask(self, start: int, end: int) -> AsyncGenerator[Answer]:
        """Ask for the bytes from `start` up to `end`.

        Raises:
            TryAgain: The connection was lost, also while the block reads, or the server is busy.
            Refused: The server does not give it to us.
            NoNetwork: It is not to be trusted, or sends us to where we do not go.
            WrongContent: It has another file.
        """
        with self._translated():
            async with self._answered(start, end) as answer:
                yield Answer(answer, is_whole=answer.status == HTTPStatus.OK)

    @asynccontextmanager
    async def _answered(self, start: int, end: int) -> AsyncGenerator[aiohttp.ClientResponse]:
        url = self._elsewhere or self.wanted.url
        for _ in range(_MOST_HOPS):
            async with self.session.get(
                url,
                headers=self._headers(url, start, end),
                read_bufsize=READ_BYTES,
                allow_redirects=False,
            ) as answer:
                if answer.status in _MOVED:
                    url = self._moved(url, answer)
                    continue
                if answer.status in _RAN_OUT and self._elsewhere is not None:
                    url, self._elsewhere = self.wanted.url, None
                    continue
                self._check(answer, start, end)
                self._elsewhere = None if url == self.wanted.url else url
                yield answer
                return
        raise self._unreachable(f"it was redirected more than {_MOST_HOPS} times")

    def _headers(self, url: str, start: int, end: int) -> Mapping[str, str]:
        own = self.wanted.headers if _origin(url) == _origin(self.wanted.url) else {}
        part = {"Range": f"bytes={start}-{end - 1}"} if end > start else {}
        return {**_AS_IT_IS, **part, **own}

    def _moved(self, url: str, answer: aiohttp.ClientResponse) -> str:
        """Follow to where it is, over TLS, or on the same machine if that has none.

        Raises:
            NoNetwork: It leads elsewhere.
            WrongContent: The hub says that the file is another one by now.
        """
        linked = answer.headers.get("X-Linked-ETag", "").removeprefix("W/").strip('"')
        if linked and linked != self.wanted.digest.hex:
            raise self._wrong(f"the hub says that its hash is {linked[:64]!r} by now")
        target = urljoin(url, answer.headers.get("Location", ""))
        to, own = urlsplit(target), urlsplit(self.wanted.url)
        same_machine = to.scheme == own.scheme == "http" and to.hostname == own.hostname
        if to.scheme == "https" or same_machine:
            return target
        raise self._unreachable(
            f"it is redirected to {to.scheme or 'nowhere'}://{to.netloc}, which is not encrypted"
        )

    def _check(self, answer: aiohttp.ClientResponse, start: int, end: int) -> None:
        if answer.status == HTTPStatus.OK:
            self._check_length(answer.content_length)
        elif answer.status == HTTPStatus.PARTIAL_CONTENT:
            self._check_part(answer.headers.get("Content-Range", ""), start, end)
        elif answer.status in _AGAIN:
            raise TryAgain(
                f"{answer.url.host} answers with {answer.status}",
                after_s=retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC)),
                busy=answer.status
                in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE},
            )
        elif answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise self._wrong("what is there is shorter than it should be")
        else:
            raise Refused(
                f"{self.wanted.name} could not be fetched.",
                why=f"{answer.url.host} answers with {answer.status} ({self.wanted.url})",
                fix=_CONNECT,
                status=answer.status,
                code=answer.headers.get("X-Error-Code", ""),
            )
        coded = answer.headers.get("Content-Encoding", "identity")
        if coded != "identity":
            raise self._wrong(f"it comes compressed ({coded[:20]!r}), though that was refused")

    def _check_length(self, told: int | None) -> None:
        """Refuse a page to log in, say, before it becomes the beginning of the file."""
        if told not in {None, self.wanted.size_bytes}:
            raise self._wrong(f"it has {told} bytes, not {self.wanted.size_bytes}")

    def _check_part(self, told: str, start: int, end: int) -> None:
        found = _PART.fullmatch(told)
        if found is None or int(found[1]) != start or int(found[2]) >= end:
            raise TryAgain(f"bytes {start}-{end - 1} were asked for, and {told[:60]!r} came")
        if found[3] not in {"*", str(self.wanted.size_bytes)}:
            raise self._wrong(f"it has {found[3]} bytes, not {self.wanted.size_bytes}")

    @contextmanager
    def _translated(self) -> Generator[None]:
        """Turn the library's errors into ours."""
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            raise self._unreachable(str(error), _TRUST) from error
        except aiohttp.ClientHttpProxyError as error:
            why = f"the proxy answers with {error.status} {error.message}"
            raise TryAgain(why, answered=error.status in _AGAIN) from error
        except _NOBODY as error:
            raise TryAgain(_said(error), answered=False) from error
        except _LOST as error:
            raise TryAgain(_said(error)) from error

    def _unreachable(self, why: str, fix: str = _CONNECT) -> NoNetwork:
        return unreachable(self.wanted, why, fix)

    def _wrong(self, why: str) -> WrongContent:
        return wrong_content(self.wanted, why)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sends for a range."""

    response: aiohttp.ClientResponse
    is_whole: bool
    """It sends the file from its beginning, whatever was asked for."""

    async def pieces(self) -> AsyncGenerator[bytes]:
        async for piece in self.response.content.iter_any():
            yield piece


def unreachable(wanted: Wanted, why: str, fix: str = _CONNECT) -> NoNetwork:
    """Say which file could not be had, and why."""
    what = f"{wanted.name} could not be fetched."
    return NoNetwork(what, why=f"{why} ({wanted.url})", fix=fix)


def wrong_content(wanted: Wanted, why: str) -> WrongContent:
    """Say which file is another one, and how that shows."""
    return WrongContent(
        f"{wanted.name} is not what it should be.",
        why=f"{why} ({wanted.url})",
        fix="do not use it; see whether something between here and there changes downloads",
    )


def retry_after_s(text: str | None, now: datetime) -> float | None:
    """Read `Retry-After`: seconds, or a date; None where it is neither.

    Source: RFC 9110, section 10.2.3.
    """
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
