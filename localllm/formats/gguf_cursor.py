"""Reads a GGUF header's values one after another, and trusts none of its lengths.

Every count and length is checked before it is believed, so a hostile header costs no more
than a sound one of the same size. Vocabularies are stepped over, never built.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from localllm.formats.errors import BadModelFile, HeaderIncomplete

Scalar: TypeAlias = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A list in the header."""

    count: int
    numbers: tuple[int, ...] | None = None
    """What it holds; None where that is long, or not whole numbers."""


BOOL, STRING, ARRAY = 7, 8, 9
SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    BOOL: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
"""By GGUF value type. Source: ggml/include/gguf.h."""

FLOATS = frozenset({6, 12})

MAX_HEADER_BYTES = 256 << 20
"""Ten times the largest header known; a length beyond it is a lie."""

MAX_TEXT_BYTES = 4 << 20
"""For one value that is kept; chat templates are some 10 KB."""

MAX_NAME_BYTES = 65_535
MAX_STRINGS = 2 << 20
"""In one list; the largest vocabularies have 262,144 tokens and twice as many merges."""

MAX_KEPT = 4096
"""Numbers in a list that is kept: one per layer."""


def bad(why: str) -> BadModelFile:
    """The one error for whatever a sound GGUF never holds."""
    return BadModelFile(
        "This is not a GGUF file that can be used.",
        why=why,
        fix="download it again; if the error stays, the file itself is damaged or not a model",
    )


class Cursor:
    """A place in a header, moving forward only.

    Args:
        data: The file's first bytes.
        file_bytes: Length of the whole file, of which `data` may be a part.
    """

    __slots__ = ("at", "data", "end", "file_bytes")

    def __init__(self, data: memoryview, file_bytes: int) -> None:
        self.data = data
        self.end = min(len(data), MAX_HEADER_BYTES)
        self.file_bytes = file_bytes
        self.at = 0

    def skip(self, length: int) -> int:
        """Step over `length` bytes and return where they began."""
        begin, end = self.at, self.at + length
        if end > self.end:
            self._ended(end)
        self.at = end
        return begin

    def number(self, kind: int) -> int | float | bool:
        packing = SCALARS[kind]
        value: int | float | bool = packing.unpack_from(self.data, self.skip(packing.size))[0]
        return value

    def count(self) -> int:
        return int(self.number(10))

    def text(self, limit: int) -> str:
        length = self.count()
        if length > limit:
            raise bad(f"a text of {length} bytes, where {limit} are allowed")
        begin = self.skip(length)
        try:
            return str(self.data[begin : self.at], "utf-8")
        except UnicodeDecodeError as error:
            raise bad("a text that is not UTF-8") from error

    def value(self) -> Scalar | Listing:
        kind = int(self.number(4))
        if kind == STRING:
            return self.text(MAX_TEXT_BYTES)
        if kind == ARRAY:
            return self._listing()
        if kind not in SCALARS:
            raise bad(f"a value of type {kind}, which does not exist")
        return self.number(kind)

    def _listing(self) -> Listing:
        kind, count = int(self.number(4)), self.count()
        if kind == STRING:
            self._skip_strings(count)
            return Listing(count)
        if kind not in SCALARS:
            raise bad(f"a list of values of type {kind}")
        begin = self.skip(count * SCALARS[kind].size)
        if kind in FLOATS or count > MAX_KEPT:
            return Listing(count)
        values = SCALARS[kind].iter_unpack(self.data[begin : self.at])
        return Listing(count, tuple(int(value) for (value,) in values))

    def _skip_strings(self, count: int) -> None:
        if count > MAX_STRINGS:
            raise bad(f"a list of {count} texts, where {MAX_STRINGS} are allowed")
        # The one hot loop: two lists of 49,000 strings in a small model, 260,000 in a large one.
        length_at, data, end, at = SCALARS[10].unpack_from, self.data, self.end, self.at
        for _ in range(count):
            if at + 8 > end:
                self._ended(at + 8)
            at += 8 + length_at(data, at)[0]
        if at > end:
            self._ended(at)
        self.at = at

    def _ended(self, needed: int) -> NoReturn:
        if needed > self.file_bytes:
            raise bad(f"{needed} bytes are needed, and the file has {self.file_bytes}")
        if needed > MAX_HEADER_BYTES:
            raise bad(f"a header of {needed} bytes or more")
        raise HeaderIncomplete(
            "The header is longer than what was read of it.",
            why=f"{self.end} bytes are at hand, {needed} are needed at least",
            fix="read more of the file and try again",
            needed_bytes=needed,
        )
