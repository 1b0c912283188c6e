"""What the page, the server and the screen's process say to each other. Pure.

The page's words are those of textual-serve's `textual.js`, the process's those of Textual's
`web_driver.py`: a letter, four bytes with the length of the rest, the rest. Written for 1.1.3 and
8.2.8; tests/end_to_end/test_web_screen.py tells when others differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

READY = b"__GANGLION__\n"
"""What the process begins with."""

SHOWN, TOLD = b"D", b"M"
"""The letters: of what a terminal shows or gets typed, and of what is JSON."""

HEAD_BYTES = 5
MOST_BYTES = 16 << 20
"""Of one packet of the process; a full screen of colours takes a hundredth of it."""

_LEAST_COLUMNS, _MOST_COLUMNS = 20, 1000
_LEAST_LINES, _MOST_LINES = 5, 400


class Size(msgspec.Struct, frozen=True):
    """Columns and lines."""

    width: int
    height: int

    def bounded(self) -> Size:
        """Make it one that a screen can be drawn in."""
        return Size(
            max(_LEAST_COLUMNS, min(self.width, _MOST_COLUMNS)),
            max(_LEAST_LINES, min(self.height, _MOST_LINES)),
        )


class Typed(msgspec.Struct, frozen=True, array_like=True, tag="stdin"):
    """Keys and the mouse, as a terminal sends them."""

    text: str


class Resized(msgspec.Struct, frozen=True, array_like=True, tag="resize"):
    size: Size


class Pinged(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    at: str


class Focused(msgspec.Struct, frozen=True, array_like=True, tag="focus"):
    """Somebody looks at it."""


class Blurred(msgspec.Struct, frozen=True, array_like=True, tag="blur"):
    """Nobody does."""


Heard: TypeAlias = Typed | Resized | Pinged | Focused | Blurred
_heard: msgspec.json.Decoder[Heard] = msgspec.json.Decoder(Heard)


def parse_message(text: str) -> Heard:
    """Read what a page sent.

    Raises:
        ValueError: It is none of what is known.
    """
    try:
        return _heard.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def parse_size(query: Mapping[str, str]) -> Size:
    """Read the size that a page asks for; where it has none yet, a small terminal's."""
    try:
        size = Size(int(query["width"]), int(query["height"]))
    except (KeyError, ValueError):
        size = Size(80, 24)
    return size.bounded()


def packet_for(heard: Typed | Resized | Focused | Blurred) -> bytes:
    """Say it in the process's words."""
    match heard:
        case Typed(text):
            return _packet(SHOWN, text.encode(errors="replace"))
        case Resized(size):
            size = size.bounded()
            return _told({"type": "resize", "width": size.width, "height": size.height})
        case Focused():
            return _told({"type": "focus"})
        case Blurred():
            return _told({"type": "blur"})


def parse_head(head: bytes) -> tuple[bytes, int]:
    """Read a packet's letter, and how many bytes follow.

    Raises:
        ValueError: They are more than any screen takes.
    """
    kind, size = head[:1], int.from_bytes(head[1:], "big")
    if size > MOST_BYTES:
        raise ValueError(f"a packet of {size} bytes")
    return kind, size


def _told(said: Mapping[str, object]) -> bytes:
    return _packet(TOLD, msgspec.json.encode(said))


def _packet(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "big") + payload
