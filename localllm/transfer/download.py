"""One file, by its address and its hash: resumed where it was cut, hashed as it is written.

What is kept between attempts, and between processes, is the part that has come so far, in a file
that is renamed once its hash is right. A file of that name is therefore always whole.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import aiohttp
import anyio

from localllm.errors import NoNetwork, NoSpace, WrongContent
from localllm.units import size

_CHUNK_BYTES = 1 << 20
_AT_RISK_BYTES = 16_384
"""What aiohttp holds back, twice of it, is lost with a connection that breaks."""

_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Between attempts that brought nothing; one that brought something starts over."""

_LONGEST_PAUSE_S = 60.0
"""What a server may ask for by Retry-After; beyond it, it is as good as unreachable."""

_SPARE_BYTES = 64 << 20
"""To leave on the disk."""

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
_NOBODY = (
    *(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError),
    *(aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError),
)
"""There is no server at all, or no way to it."""

_AS_IT_IS = {"Accept-Encoding": "identity"}
"""Else a mirror may compress what it sends, and its hash and its ranges are another file's."""

_CONNECT = "connect to the network, or set HTTPS_PROXY if there is a proxy in between"
_TRUST = "if your network inspects TLS, name the file of its certificates in SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be had."""

    url: str
    sha256: str
    """Lower case, 64 characters."""

    size_bytes: int

    @property
    def name(self) -> str:
        return Path(urlsplit(self.url).path).name


@dataclass(slots=True)
class _Part:
    """What has come so far, and its hash."""

    file: Path
    hasher: hashlib._Hash
    here: int
    """Bytes."""

    @property
    def digest(self) -> str:
        return self.hasher.hexdigest()

    def append(self, file: IO[bytes], chunk: bytes | bytearray) -> None:
        file.write(chunk)
        file.flush()  # what is counted here is in the file, should this process be killed
        self.hasher.update(chunk)
        self.here += len(chunk)

    def restart(self) -> None:
        self.file.unlink()
        self.hasher, self.here = hashlib.sha256(), 0


class _TryAgain(Exception):
    """An attempt failed in a way that may pass.

    Args:
        after_s: What the server asks for; 0 leaves it to us.
        answered: Whether there is a server at all; if there never was, waiting is of no use.
    """

    def __init__(self, why: str, after_s: float = 0.0, *, answered: bool = True) -> None:
        super().__init__(why)
        self.after_s = after_s
        self.answered = answered


async def download(
    session: aiohttp.ClientSession,
    wanted: Wanted,
    folder: Path,
    tell: Callable[[int], None] = lambda _: None,
) -> Path:
    """Bring a file into `folder`, under its hash as its name; return its path.

    Args:
        tell: Called with the bytes that are here, whenever there are more.

    Raises:
        NoNetwork: The server is out of reach, or refuses.
        WrongContent: What it sends is not what is wanted, twice.
        NoSpace: The disk is too full; what has come is kept.
    """
    whole = folder / wanted.sha256
    if whole.exists():
        tell(wanted.size_bytes)
        return whole
    with about_the_disk(wanted.name, folder):
        part = await _fetched(session, wanted, folder, tell)
        if part.digest != wanted.sha256:  # a proxy's error page, a broken part: once more, from 0
            part.file.unlink()
            part = await _fetched(session, wanted, folder, tell)
        if part.digest != wanted.sha256:
            part.file.unlink()
            raise _wrong(wanted, f"its SHA-256 is {part.digest}, not {wanted.sha256}")
        await anyio.to_thread.run_sync(_settle, part.file, whole)
    return whole


async def _fetched(
    session: aiohttp.ClientSession, wanted: Wanted, folder: Path, tell: Callable[[int], None]
) -> _Part:
    part = await anyio.to_thread.run_sync(_resume, folder / f"{wanted.sha256}.part")
    _require_space(wanted, folder, part.here)
    began = most = part.here
    pauses = iter(_PAUSES_S)
    while part.here < wanted.size_bytes:
        try:
            await _attempt(session, wanted, part, tell)
        except _TryAgain as again:
            if part.here > most:
                most, pauses = part.here, iter(_PAUSES_S)
            pause_s = max(next(pauses, math.inf), again.after_s)
            if pause_s > _LONGEST_PAUSE_S or (most == began and not again.answered):
                raise _unreachable(wanted, str(again)) from again
            await anyio.sleep(pause_s)
    return part


async def _attempt(
    session: aiohttp.ClientSession, wanted: Wanted, part: _Part, tell: Callable[[int], None]
) -> None:
    """Ask for what is lacking, and write it down as it comes.

    Raises:
        _TryAgain: The connection was lost, or the server is busy.
        NoNetwork: The server refuses, or is not to be trusted.
        WrongContent: It has a file of another length.
    """
    headers = {**_AS_IT_IS, **({"Range": f"bytes={part.here}-"} if part.here else {})}
    try:
        async with session.get(wanted.url, headers=headers, read_bufsize=_AT_RISK_BYTES) as answer:
            _check(wanted, answer)
            if answer.status == HTTPStatus.OK and part.here:
                part.restart()  # a server without ranges
            await _write_down(answer.content, wanted, part, tell)
    except aiohttp.ClientConnectorCertificateError as error:
        raise _unreachable(wanted, str(error), _TRUST) from error
    except aiohttp.ClientHttpProxyError as error:
        why = f"the proxy answers with {error.status} {error.message}"
        raise _TryAgain(why, answered=error.status in _AGAIN) from error
    except _NOBODY as error:
        raise _TryAgain(str(error) or type(error).__name__, answered=False) from error
    except _LOST as error:
        raise _TryAgain(str(error) or type(error).__name__) from error
    if part.here < wanted.size_bytes:
        raise _TryAgain(f"the answer ended after {part.here} of {wanted.size_bytes} bytes")


async def _write_down(
    content: aiohttp.StreamReader, wanted: Wanted, part: _Part, tell: Callable[[int], None]
) -> None:
    """Write what comes, a chunk at a time, and what has come when it ends or is cut."""
    pending = bytearray()

    def write(file: IO[bytes]) -> None:
        chunk = bytes(pending)
        pending.clear()  # first: what failed on a full disk is never written twice
        part.append(file, chunk)

    with part.file.open("ab") as file:
        try:
            async for piece in content.iter_any():
                pending += piece
                if len(pending) >= _CHUNK_BYTES:
                    await anyio.to_thread.run_sync(write, file)
                    tell(part.here)
                if part.here > wanted.size_bytes:
                    return  # whatever it is, it is not what is wanted
        finally:
            if pending:
                write(file)
                tell(part.here)


def _check(wanted: Wanted, answer: aiohttp.ClientResponse) -> None:
    if answer.status == HTTPStatus.OK:
        _check_length(wanted, answer.content_length)
        return
    if answer.status == HTTPStatus.PARTIAL_CONTENT:
        return
    if answer.status in _AGAIN:
        after = answer.headers.get("Retry-After", "")
        raise _TryAgain(f"status {answer.status}", float(after) if after.isdecimal() else 0.0)
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise _wrong(wanted, "what is there is shorter than it should be")
    refused = _unreachable(wanted, f"{urlsplit(wanted.url).hostname} answers with {answer.status}")
    refused.retryable = False  # the server was reached, and has no such file for us
    raise refused


def _check_length(wanted: Wanted, told: int | None) -> None:
    """Refuse a page to log in, say, before it becomes the beginning of the file."""
    if told not in {None, wanted.size_bytes}:
        raise _wrong(wanted, f"it has {told} bytes, not {wanted.size_bytes}")


def _resume(file: Path) -> _Part:
    """Take up what an earlier attempt has left, whatever ended it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(file, hashlib.sha256(), 0)
    if file.exists():
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK_BYTES):
                part.hasher.update(chunk)
                part.here += len(chunk)
    return part


def _settle(part: Path, whole: Path) -> None:
    """Give what is right its name; its bytes first, or a power cut leaves the name without them."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.rename(whole)


def sha256_of(file: Path) -> str:
    """The hash of a whole file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _require_space(wanted: Wanted, folder: Path, here: int) -> None:
    lacking = wanted.size_bytes - here + _SPARE_BYTES - shutil.disk_usage(folder).free
    if lacking > 0:
        raise NoSpace(
            f"There is no room for {wanted.name}.",
            why=f"{folder} has {size(lacking)} too little for its {size(wanted.size_bytes)}",
            fix="free some space there, or let LOCALLLM_HOME name another disk",
        )


@contextmanager
def about_the_disk(name: str, folder: Path) -> Generator[None]:
    """Raise NoSpace, with the file and the place, where the system says that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise NoSpace(
            f"The disk was full before {name} was here.",
            why=f"{folder}: {error.strerror}",
            fix="free some space there and try again: what has come is kept",
        ) from error


def _unreachable(wanted: Wanted, why: str, fix: str = _CONNECT) -> NoNetwork:
    what = f"{wanted.name} could not be fetched."
    return NoNetwork(what, why=f"{why} ({wanted.url})", fix=fix)


def _wrong(wanted: Wanted, why: str) -> WrongContent:
    return WrongContent(
        f"{wanted.name} is not what it should be.",
        why=f"{why} ({wanted.url})",
        fix="do not use it; see whether something between here and there changes downloads",
    )
