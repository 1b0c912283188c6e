"""One request for a range of a file: where it is, whether the answer is it, and who may be told our token.

A hub keeps its files elsewhere and sends us there by an address that is good for a while: it is kept
for the pieces that follow, and asked for again when it has run out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import aiohttp

from localllm.transfer.addresses import origin, redirected, shown
from localllm.transfer.failures import LATER, TRUST, TryAgain, refused, unreachable, wrong_content
from localllm.transfer.patience import retry_after_s
from localllm.transfer.session import Session
from localllm.transfer.wanted import Wanted

_MOST_REQUESTS = 10
_MOST_RENEWALS = 3
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY = frozenset({429, 503})
_MOVED = frozenset({301, 302, 303, 307, 308})
_RAN_OUT = frozenset({400, 401, 403, 404, 410})
"""What a storage says to an address that was good before."""

_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NOBODY = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError),
    *(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
)
"""There is no server at all, or no way to it."""

_NO_ADDRESS = "its address is none"
_AS_IT_IS = {"accept-encoding": "identity"}
"""Else a mirror may compress what it sends, and its hash and its ranges are another file's."""

_PART = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


@dataclass(slots=True)
class Asking:
    """Asks for ranges of one file, over one session."""

    session: Session
    wanted: Wanted
    _elsewhere: str | None = None
    """Where the last answer came from, if that is another place."""

    @asynccontextmanager
    async def ask(self, start: int, end: int) -> AsyncGenerator[Answer]:
        """Ask for the bytes from `start` up to `end`.

        Raises:
            TryAgain: The connection was lost, or the server is busy.
            Refused: The server does not give it to us.
            NoNetwork: It is not to be trusted, or sends us to where we do not go.
            WrongContent: It has another file.
        """
        async with AsyncExitStack() as stack:
            with translated(self.wanted):
                answer = await stack.enter_async_context(self._answered(start, end))
                first, beyond = self._check(answer, start, end)
            yield Answer(self.wanted, answer, first, beyond)

    @asynccontextmanager
    async def _answered(self, start: int, end: int) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Go from address to address until one answers with what it has, or does not."""
        url, renewals = self._elsewhere or self.wanted.url, 0
        for _ in range(_MOST_REQUESTS):
            async with self._request(url, start, end) as answer:
                if answer.status in _MOVED:
                    url = self._moved(url, answer)
                    continue
                if self._may_have_run_out(url, answer) and renewals < _MOST_RENEWALS:
                    url, renewals = self._renewed(url, renewals), renewals + 1
                    continue
                self._check_storage(url, answer)
                if answer.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    self._elsewhere = None if url == self.wanted.url else url
                yield answer
                return
        raise unreachable(self.wanted, f"it was redirected more than {_MOST_REQUESTS - 1} times")

    def _request(
        self, url: str, start: int, end: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        is_own = origin(url) == origin(self.wanted.url)
        part = {"range": f"bytes={start}-{end - 1}"} if end > start else {}
        own = self.wanted.headers if is_own else {}
        return self.session.get(url, {**_AS_IT_IS, **part, **own}, is_own=is_own)

    def _may_have_run_out(self, url: str, answer: aiohttp.ClientResponse) -> bool:
        return answer.status in _RAN_OUT and url != self.wanted.url

    def _renewed(self, url: str, renewals: int) -> str:
        """Find another address than this one, which another connection may have had already."""
        if self._elsewhere == url:
            self._elsewhere = None
        return self.wanted.url if renewals else self._elsewhere or self.wanted.url

    def _check_storage(self, url: str, answer: aiohttp.ClientResponse) -> None:
        """Tell a storage that is out of order from a hub that refuses, at another address perhaps.

        Raises:
            TryAgain: It is no hub that does not take an address which the hub has just given.
        """
        is_hub = origin(url) == origin(self.wanted.url) and "X-Error-Code" in answer.headers
        if self._may_have_run_out(url, answer) and not is_hub:
            why = f"{answer.url.host} answers with {answer.status} to an address that is fresh"
            raise TryAgain(why, fix=LATER)

    def _moved(self, url: str, answer: aiohttp.ClientResponse) -> str:
        """Follow to where it is.

        Raises:
            NoNetwork: It leads to where we do not go.
            WrongContent: The hub says that the file is another one by now.
        """
        linked = answer.headers.get("X-Linked-ETag", "").removeprefix("W/").strip('"')
        if linked and linked != self.wanted.digest.hex:
            why = f"the hub says that its hash is {shown(linked[:64])} by now"
            raise wrong_content(self.wanted, why)
        try:
            return redirected(url, answer.headers.get("Location", ""), self.wanted.url)
        except ValueError as error:
            raise unreachable(self.wanted, str(error)) from error

    def _check(self, answer: aiohttp.ClientResponse, start: int, end: int) -> tuple[int, int]:
        """Tell which bytes come, from and up to; or that none do."""
        told = answer.headers
        if answer.status in _AGAIN:
            raise TryAgain(
                f"{answer.url.host} answers with {answer.status}",
                after_s=retry_after_s(told.get("Retry-After"), datetime.now(UTC)),
                busy=answer.status in _BUSY,
                fix=LATER,
            )
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise wrong_content(self.wanted, "what is there is shorter than it should be")
        if answer.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            code = told.get("X-Error-Code", "")
            raise refused(self.wanted, answer.url.host, answer.status, code)
        coded = told.get("Content-Encoding", "identity").strip().lower()
        if coded not in {"", "identity"}:
            why = f"it comes compressed ({shown(coded[:20])}), though that was refused"
            raise wrong_content(self.wanted, why)
        if answer.status == HTTPStatus.OK:
            self._check_length(answer.content_length, answer.content_type)
            return 0, self.wanted.size_bytes
        return self._check_part(told, start, end)

    def _check_length(self, told: int | None, kind: str) -> None:
        """Refuse a page to log in, say, before it becomes the beginning of the file."""
        if told is None and kind == "text/html":
            raise wrong_content(self.wanted, "a web page comes in its place")
        if told not in {None, self.wanted.size_bytes}:
            why = f"it has {told} bytes, not {self.wanted.size_bytes}"
            raise wrong_content(self.wanted, why)

    def _check_part(self, told: Mapping[str, str], start: int, end: int) -> tuple[int, int]:
        text = told.get("Content-Range", "")
        found = _PART.fullmatch(text.strip())
        if found is None or int(found[1]) != start or not start <= int(found[2]) < end:
            came = shown(text[:60]) or "a part that does not say which"
            raise TryAgain(f"bytes {start}-{end - 1} were asked for, and {came} came")
        if found[3] not in {"*", str(self.wanted.size_bytes)}:
            why = f"it has {found[3]} bytes, not {self.wanted.size_bytes}"
            raise wrong_content(self.wanted, why)
        return start, int(found[2]) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sends for a range."""

    wanted: Wanted
    response: aiohttp.ClientResponse
    start: int
    """Of what it sends: 0, whatever was asked for, where it sends the file as a whole."""

    end: int
    """It may be less than what was asked for."""

    @property
    def is_whole(self) -> bool:
        return self.response.status == HTTPStatus.OK

    async def more(self) -> bytes:
        """Wait for the next bytes; none at the end.

        Raises:
            TryAgain: The connection was lost.
        """
        with translated(self.wanted):
            return await self.response.content.readany()


@contextmanager
def translated(wanted: Wanted) -> Generator[None]:
    """Turn the library's errors into ours."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise unreachable(wanted, str(error), TRUST) from error
    except aiohttp.ClientHttpProxyError as error:
        why = f"the proxy answers with {error.status} {shown(error.message)}"
        raise TryAgain(why, answered=error.status in _AGAIN) from error
    except _NOBODY as error:
        raise TryAgain(_said(error), answered=False) from error
    except _LOST as error:
        raise TryAgain(_said(error)) from error
    except ValueError as error:  # of urllib and yarl, about an address, which may be in its words
        raise unreachable(wanted, _NO_ADDRESS) from error


def _said(error: BaseException) -> str:
    """Say what went wrong, without the address: it may be signed, or have a password in it."""
    match error:
        case aiohttp.ClientResponseError():
            return f"{error.status} {shown(error.message)}".strip()
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return _NO_ADDRESS
        case _:
            return shown(str(error)) or type(error).__name__
