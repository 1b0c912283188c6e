"""Unpacks compressed bodies bit by bit, so that what grows is stopped when it is over the limit. Pure."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

from localllm.errors import BadRequest, UnknownEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_WINDOW_LOG = 23
"""8 MiB, which is as far back as RFC 9659 lets a zstd body on the web refer: all that it costs us."""

_MOST_MEMBERS = 64
"""Some programs pack in parallel, and join the parts. Many empty ones would be work for nothing."""

_ZLIB_METHOD = 8


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Zlib:
    """zlib's object, with the manners of zstd's: it keeps what it has not used yet itself."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _zlib(start: bytes) -> _Decompressor:
    """Unpack what HTTP calls deflate: zlib's format; but some clients send it bare (RFC 9110, 8.4.1.2)."""
    is_bare = start[0] & 0xF != _ZLIB_METHOD
    return _Zlib(-zlib.MAX_WBITS if is_bare else zlib.MAX_WBITS)


def _gzip(_start: bytes) -> _Decompressor:
    return _Zlib(zlib.MAX_WBITS | 16)


def _zstd(_start: bytes) -> _Decompressor:
    bounds = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG}
    return zstd.ZstdDecompressor(options=bounds)


_KINDS: dict[str, Callable[[bytes], _Decompressor]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _zlib,
    "zstd": _zstd,
}


class Unpacking:
    """Unpacks one body.

    Args:
        start: Makes a decompressor for what begins with these bytes.
    """

    def __init__(self, name: str, start: Callable[[bytes], _Decompressor]) -> None:
        self._name = name
        self._start = start
        self._member: _Decompressor | None = None
        self._members = 0
        self._fed = b""

    def feed(self, piece: bytes) -> None:
        """Give it the next bytes; all that came of those before has been taken."""
        self._fed += piece

    def take(self, most_bytes: int) -> bytes:
        """Take up to so many bytes; none if there are no more for what was fed so far.

        Raises:
            BadRequest: It is not what it says it is.
        """
        while self._fed or self._member is not None:
            member = self._member = self._member or self._next_member()
            try:
                unpacked = member.decompress(self._fed, most_bytes)
            except (zlib.error, zstd.ZstdError) as error:
                raise self._bad(str(error)) from error
            self._fed = b""
            if member.eof:
                self._fed, self._member = member.unused_data, None
            if unpacked or not self._fed:
                return unpacked
        return b""

    def check_end(self) -> None:
        """See that nothing is missing.

        Raises:
            BadRequest: It ends in the middle.
        """
        if self._member is not None:
            raise self._bad("it ends in the middle")

    def _next_member(self) -> _Decompressor:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise self._bad(f"it has more than {_MOST_MEMBERS} parts")
        return self._start(self._fed)

    def _bad(self, why: str) -> BadRequest:
        return BadRequest(
            f"The body is no {self._name}.", why=why, fix="send it whole, or do not compress it"
        )


def unpacking_of(encodings: Sequence[str]) -> Unpacking | None:
    """Find how to unpack a body; None if it is not packed.

    Args:
        encodings: The values of its headers Content-Encoding.

    Raises:
        UnknownEncoding: We cannot.
    """
    named = [e for value in encodings for one in value.split(",") if (e := one.strip().lower())]
    if named in ([], ["identity"]):
        return None
    kind = _KINDS.get(named[0]) if len(named) == 1 else None
    if kind is None:
        raise UnknownEncoding(
            f"The body is compressed as {', '.join(named)[:80]!r}.",
            why="known are gzip, deflate and zstd, one at a time",
            fix="use one of those, or do not compress it",
        )
    return Unpacking(named[0], kind)
