"""Images: in the request or on a host that is allowed, of a known kind, and not too large."""

from __future__ import annotations

import struct

import pytest

from localllm.errors import BadRequest
from localllm.gateway.requests.bounds import Limits
from localllm.gateway.requests.chat import check_chat
from localllm.gateway.requests.images import image_size, is_on
from tests.unit.gateway.requests.a_request import PIXEL, as_body, data_url, png, with_image

MIB = 1 << 20
HOSTS = frozenset({"img.example", "img.example:8080"})


def segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(width: int, height: int, *before: bytes, frame: int = 0xC0) -> bytes:
    begin = b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"".join(before)
    return begin + segment(frame, b"\x08" + struct.pack(">HH", height, width) + b"\3" * 10)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0"


def webp(chunk: bytes) -> bytes:
    return b"RIFF\0\0\0\0WEBP" + chunk


def lossy(width: int, height: int) -> bytes:
    size = struct.pack("<HH", width | 0x4000, height)
    return webp(b"VP8 \0\0\0\0\x30\1\0\x9d\x01\x2a" + size)


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L\0\0\0\0\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp(b"VP8X\x0a\0\0\0\0\0\0\0" + sizes)


def filled(image: bytes, size: int) -> bytes:
    return image + b"\0" * (size - len(image))


def why_refused(url: str, hosts: frozenset[str] = frozenset()) -> str:
    with pytest.raises(BadRequest) as caught:
        check_chat(as_body(with_image(url)), Limits(image_hosts=hosts))
    assert caught.value.param == "messages[0].content[1].image_url.url"
    return caught.value.why


def allowed(url: str, hosts: frozenset[str] = frozenset()) -> None:
    check_chat(as_body(with_image(url)), Limits(image_hosts=hosts))


KINDS = {
    "PNG": png,
    "GIF": gif,
    "JPEG": jpeg,
    "lossy WebP": lossy,
    "lossless WebP": lossless,
    "extended WebP": extended,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_the_size_of_an_image_is_read_from_its_first_bytes(kind) -> None:
    image = kind(640, 480)

    assert image_size(image) == (640, 480)
    allowed(data_url(image))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_an_image_cut_anywhere_has_no_size_and_breaks_nothing(kind) -> None:
    whole = kind(640, 480)

    assert {image_size(whole[:end]) for end in range(len(whole))} <= {None, (640, 480)}


@pytest.mark.parametrize(
    ("at", "over"),
    [
        (png(10_000, 5_000), png(10_000, 5_001)),
        (jpeg(50_000, 1_000), jpeg(50_000, 1_001)),
        (extended(50_000_000 >> 4, 16), extended(50_000_000 >> 4, 17)),
        (png(50_000_000, 1), png(2**32 - 1, 2**32 - 1)),
    ],
    ids=["PNG", "JPEG", "WebP", "long"],
)
def test_an_image_may_have_50_megapixels_and_no_more(at: bytes, over: bytes) -> None:
    allowed(data_url(at))

    assert "50000000 maximum" in why_refused(data_url(over))


def test_an_image_may_have_10_mebibytes_and_no_more() -> None:
    allowed(data_url(filled(png(1, 1), 10 * MIB)))

    assert "10485760 maximum" in why_refused(data_url(filled(png(1, 1), 10 * MIB + 1)))


def test_a_size_behind_a_large_profile_is_found() -> None:
    profile = [segment(0xE2, b"\0" * 65_000)] * 40

    allowed(data_url(jpeg(8, 8, *profile)))
    assert "maximum" in why_refused(data_url(jpeg(60_000, 60_000, *profile)))


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"BM" + b"\0" * 60,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        png(0, 5),
        jpeg(5, 0),
        b"\xff\xd8\xff" + b"\xff" * 100_000,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000,
        b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000,
        webp(b"ALPH" + b"\0" * 20),
    ],
    ids=lambda image: repr(image[:4]),
)
def test_an_image_whose_size_cannot_be_read_is_refused(image: bytes) -> None:
    assert "none of: PNG, JPEG, WebP or GIF" in why_refused(data_url(image))


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + "iVBO\n" + PIXEL[26:],
        "data:image/png;base64,*" + PIXEL[23:],
        "data:image/png;base64,iVBORw0KGgo=AAAA",
        PIXEL.rstrip("=")[:-1],
    ],
)
def test_base64_that_readers_may_understand_differently_is_refused(url: str) -> None:
    assert "it is not base64" in why_refused(url)


@pytest.mark.parametrize(
    "url",
    ["data:", "data:image/png,abc", "data:text/html;base64,abcd", "data:image/png;a=b;base64,abcd"],
)
def test_a_data_url_of_another_form_is_refused(url: str) -> None:
    assert "expected data:image/" in why_refused(url)


ELSEWHERE = [
    "http://127.0.0.1/a.png",
    "http://localhost:11711/a.png",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/a.png",
    "http://2130706433/",
    "file:///etc/passwd",
    "ftp://img.example/a.png",
    "//img.example/a.png",
    "DATA:image/png;base64,iVBORw0KGgo",
    " http://img.example/a.png",
    "iVBORw0KGgo",
    "",
]


@pytest.mark.parametrize("url", ["http://img.example/a.png", *ELSEWHERE])
def test_an_image_has_to_be_in_the_request(url: str) -> None:
    assert "have to be in the request" in why_refused(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_host_that_is_allowed_allows_no_other(url: str) -> None:
    assert "have to be in the request" in why_refused(url, HOSTS)


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://img.example/a.png?b=c#d", True),
        ("http://img.example:8080/", True),
        ("http://img.example", True),
        ("https://img.example:443/a.png", False),
        ("https://img.example.evil/a.png", False),
        ("https://evil/img.example", False),
        ("https://evil#@img.example/", False),
        ("https://img.example@evil/a.png", False),
        ("https://img.example\\@evil/a.png", False),
        ("https://evil\\img.example/", False),
        ("https://img.example/\\evil", False),
        ("https://img.example\t/a.png", False),
        ("https://img.example/a\nb", False),
        ("https://img.example./a.png", False),
        ("HTTPS://img.example/a.png", False),
        ("https://IMG.example/a.png", False),
        ("https:img.example/a.png", False),
        ("https://img%2eexample/a.png", False),
        ("https://img。example/a.png", False),
    ],
)
def test_a_host_is_allowed_only_where_every_parser_sees_it(url: str, *, may: bool) -> None:
    assert is_on(url, HOSTS) is may
