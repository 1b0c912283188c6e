"""Compressed bodies: unpacked bit by bit, and refused if they are not what they say."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import BadRequest, UnknownEncoding
from localllm.gateway.unpacking import Unpacking, unpacking_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def bare(data: bytes) -> bytes:
    """Deflate without zlib's head, as some clients mean it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": bare,
    "zstd": zstd.compress,
    "ZSTD": zstd.compress,
}


def an_unpacking(encoding: str) -> Unpacking:
    unpacking = unpacking_of([encoding])
    assert unpacking is not None
    return unpacking


def unpacked(encoding: str, packed: bytes, *, piece: int = 7, take: int = 1000) -> bytes:
    """Unpack to the end, fed a few bytes at a time."""
    unpacking, result = an_unpacking(encoding), b""
    for start in range(0, len(packed), piece):
        unpacking.feed(packed[start : start + piece])
        while got := unpacking.take(take):
            assert len(got) <= take
            result += got
    unpacking.check_end()
    return result


@pytest.mark.parametrize("encoding", KINDS)
@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=3000), piece=st.integers(1, 100), take=st.integers(1, 5000))
def test_what_was_packed_comes_out_however_it_is_cut(
    encoding: str, data: bytes, piece: int, take: int
) -> None:
    assert unpacked(encoding, KINDS[encoding](data), piece=piece, take=take) == data


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate"])
def test_parts_that_are_joined_are_one_body(encoding: str) -> None:
    packed = b"".join(KINDS[encoding](part) for part in (b"one ", b"", b"two"))

    assert unpacked(encoding, packed) == unpacked(encoding, packed, piece=10_000) == b"one two"


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate"])
@pytest.mark.parametrize("piece", [1, 10_000])
def test_too_many_parts_are_refused(encoding: str, piece: int) -> None:
    packed = KINDS[encoding](b"") * 65

    with pytest.raises(BadRequest, match="more than 64 parts"):
        unpacked(encoding, packed, piece=piece)


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate"])
def test_a_bomb_gives_no_more_than_is_taken(encoding: str) -> None:
    packed = KINDS[encoding](b"0" * (64 << 20))
    unpacking = an_unpacking(encoding)

    unpacking.feed(packed)

    assert len(packed) < 1 << 18
    assert [len(unpacking.take(1000)) for _ in range(3)] == [1000] * 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate"])
def test_one_that_ends_in_the_middle_is_refused_at_each_byte(encoding: str) -> None:
    packed = KINDS[encoding](b'{"model": "small"}')

    for end in range(1, len(packed)):
        with pytest.raises(BadRequest, match="ends in the middle"):
            unpacked(encoding, packed[:end])


@pytest.mark.parametrize("encoding", KINDS)
@pytest.mark.parametrize("text", [b'{"model": "small"}', b"\x00" * 40, b"\xff" * 40, b"x"])
def test_what_is_no_such_thing_is_refused(encoding: str, text: bytes) -> None:
    with pytest.raises(BadRequest, match="The body is no"):
        unpacked(encoding, text)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_flipped_bit_is_noticed(encoding: str) -> None:
    options = {int(zstd.CompressionParameter.checksum_flag): 1}
    data = b"some text that is long enough to be worth it" * 5
    packed = gzip.compress(data) if encoding == "gzip" else zstd.compress(data, options=options)

    with pytest.raises(BadRequest):
        unpacked(encoding, packed[:-2] + bytes([packed[-2] ^ 1]) + packed[-1:])


def test_a_zstd_body_that_wants_more_memory_than_the_web_allows_is_refused() -> None:
    options = {
        int(zstd.CompressionParameter.window_log): 27,
        int(zstd.CompressionParameter.content_size_flag): 0,
    }
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(b"x" * 1000) + packer.flush()

    with pytest.raises(BadRequest, match="The body is no zstd"):
        unpacked("zstd", packed)


def test_no_bytes_at_all_are_no_body() -> None:
    assert unpacked("gzip", b"") == b""


@pytest.mark.parametrize("encodings", [[], [""], ["identity"], ["Identity"], [" "]])
def test_what_is_not_packed_is_left_alone(encodings: list[str]) -> None:
    assert unpacking_of(encodings) is None


@pytest.mark.parametrize(
    "encodings",
    [["br"], ["compress"], ["gzip, gzip"], ["gzip, zstd"], ["gzip", "gzip"], ["gzip;q=1"], ["aws-chunked"],
     ["identity, identity"], ["x" * 9000]],
)  # fmt: skip
def test_an_encoding_that_is_not_known_is_named_with_those_that_are(encodings: list[str]) -> None:
    with pytest.raises(UnknownEncoding, match="gzip, deflate and zstd"):
        unpacking_of(encodings)
