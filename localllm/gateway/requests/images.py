"""Images in requests: where they may come from, how large they may be. Decodes none. Pure.

An engine fetches what a URL names, over redirects too, from wherever it runs: other services of
this machine, or a cloud's metadata. A small file may hold an image of gigabytes, which its first
bytes tell.
"""

from __future__ import annotations

import binascii
import re
import struct
from urllib.parse import urlsplit

from localllm.gateway.requests.document import wrong

MOST_IMAGES = 8
MOST_IMAGE_BYTES = 10 << 20
MOST_PIXELS = 50_000_000

_DATA = re.compile(r"data:image/[a-z0-9.+-]+;base64,")
_HEAD_CHARS = 1 << 18
"""A multiple of 4. In nearly all files the size comes earlier, after a profile and a preview."""

_SIZED_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG that begin a frame; these three begin tables."""

_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers with no length after them."""

_MOST_MARKERS = 4096
"""Before the first frame; a file of nothing else would keep the gateway busy."""

_KINDS = "PNG, JPEG, WebP or GIF"


def check_image(param: str, url: str, hosts: frozenset[str]) -> None:
    """Check one `image_url.url`.

    Raises:
        BadRequest: It is not in the request itself nor on a host that is allowed, is too large, or
            no image of a kind whose size can be read.
    """
    if url.startswith("data:"):
        _check_data(param, url)
    elif not is_on(url, hosts):
        shown = "data:image/...;base64,..."
        raise wrong(param, f"images have to be in the request: {shown}", "send it as a data: URL")


def is_on(url: str, hosts: frozenset[str]) -> bool:
    """Tell whether a URL is on one of the hosts, as any parser would see it.

    Args:
        hosts: Names in lower case, with a port where it is not the usual one.
    """
    if not re.fullmatch(r"https?://[a-z0-9.:-]+(/[!-\[\]-~]*)?", url):
        return False  # which has no blanks, backslashes, users, or literal IPv6
    return urlsplit(url).netloc in hosts


def image_size(head: bytes) -> tuple[int, int] | None:
    """Read width and height from a file's first bytes.

    Returns:
        None: It is of another kind, or its size does not come so early.
    """
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", head, 16)
        elif head.startswith((b"GIF87a", b"GIF89a")):
            width, height = struct.unpack_from("<HH", head, 6)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _webp_size(head)
        elif head.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(head)
        else:
            return None
    except (struct.error, IndexError):
        return None
    return width, height


def _check_data(param: str, url: str) -> None:
    begin = _DATA.match(url)
    if begin is None:
        raise wrong(param, "expected data:image/...;base64,...", "send it so")
    size = (len(url) - begin.end()) * 3 // 4 - url[-2:].count("=")
    if size > MOST_IMAGE_BYTES:
        why = f"{size} bytes > {MOST_IMAGE_BYTES} maximum"
        raise wrong(param, why, "send a smaller image")
    found = _size_in(param, url, begin.end())
    if found is None or 0 in found:
        raise wrong(param, f"it is none of: {_KINDS}", "send one of these")
    if found[0] * found[1] > MOST_PIXELS:
        why = f"{found[0]} x {found[1]} pixels > {MOST_PIXELS} maximum"
        raise wrong(param, why, "send a smaller image")


def _size_in(param: str, url: str, begin: int) -> tuple[int, int] | None:
    """Look at the beginning first, then at all of it."""
    for end in (begin + _HEAD_CHARS, len(url)):
        try:
            head = binascii.a2b_base64(url[begin:end], strict_mode=True)
        except ValueError:
            raise wrong(param, "it is not base64", "send base64 without line breaks") from None
        if (found := image_size(head)) is not None or end >= len(url):
            return found
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Read it from the first chunk, of one of three kinds.

    Source: https://developers.google.com/speed/webp/docs/riff_container
    """
    kind = head[12:16]
    if kind == b"VP8X":
        return _three(head, 24) + 1, _three(head, 27) + 1
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20] == 0x2F:  # noqa: PLR2004  # its signature
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


def _three(head: bytes, at: int) -> int:
    return head[at] | head[at + 1] << 8 | head[at + 2] << 16


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Go from marker to marker until a frame begins."""
    at = 2
    for _ in range(_MOST_MARKERS):
        if head[at] != 0xFF:  # noqa: PLR2004  # what each marker begins with
            break
        marker = head[at + 1]
        if marker == 0xFF:  # noqa: PLR2004  # filling
            at += 1
        elif marker in _BARE:
            at += 2
        elif marker in _SIZED_FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        else:
            at += 2 + int(struct.unpack_from(">H", head, at + 2)[0])
    return None
