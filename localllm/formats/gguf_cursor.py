"""Reads a GGUF header's values one after another, and trusts none of its lengths.

Every count and length is checked before it is believed, so a hostile header costs no more
than a sound one of the same size. Vocabularies are stepped over, never built.

What a header may cost is counted in steps of some 45 ns, not timed, so that the same file is
refused on every machine or on none. The largest headers known (Gemma's, of 262,144 tokens and
514,906 merges) take 860,000 of the 950,000 steps there are; a hostile one that uses them all took
35 to 55 ms on one core of a busy machine. The price: a vocabulary that is larger by a tenth than
the largest there is today will be refused until MAX_STEPS is raised.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import cache
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
_COUNT = SCALARS[10]

MAX_HEADER_BYTES = 64 << 20
"""Two and a half times the largest header known; a length beyond it is a lie."""

MAX_STEPS = 950_000
KEY_STEPS, TENSOR_STEPS, NUMBER_STEPS = 40, 90, 2
SLOW_STRING_STEPS = 3
BYTES_PER_STEP = 24
"""Of strings, their lengths included: longer ones cost more than one step each."""

MAX_TEXT_BYTES = 4 << 20
"""For one value that is kept; chat templates are some 10 KB."""

MAX_TEXTS_BYTES = 8 << 20
"""For all texts that are kept; in memory they may be four times as large."""

MAX_NAME_BYTES = 65_535
MAX_KEPT = 4096
"""Numbers in a list that is kept: one per layer."""

MAX_SHOWN = 80
CHUNK = 256
COMMONEST = 7
"""Bytes of most tokens."""

LONGEST = 127
MANY = 32_768
"""From so many strings on, compiling the pattern pays."""


def bad(why: str) -> BadModelFile:
    """The one error for whatever a sound GGUF never holds."""
    return BadModelFile(
        "This is not a GGUF file that can be used.",
        why=why,
        fix="download it again; if the error stays, the file itself is damaged or not a model",
    )


def shown(name: str) -> str:
    """Shorten a name that a message repeats; a hostile one may be long."""
    return name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}..."


class Cursor:
    """A place in a header, moving forward only.

    Args:
        data: The file's first bytes.
        file_bytes: Length of the whole file, of which `data` may be a part.
    """

    __slots__ = ("at", "data", "end", "file_bytes", "steps", "texts_bytes")

    def __init__(self, data: memoryview, file_bytes: int) -> None:
        self.data = data
        self.end = min(len(data), MAX_HEADER_BYTES)
        self.file_bytes = file_bytes
        self.at = 0
        self.steps = 0
        self.texts_bytes = 0

    def spend(self, steps: int) -> None:
        """Count what the header has cost so far.

        Raises:
            BadModelFile: More than any model's header costs.
        """
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise bad("its header lists more than any model's does")

    def expect(self, length: int) -> None:
        """Refuse, or ask for more, before anything is done, where `length` bytes are not there."""
        if self.at + length > self.end:
            self._ended(self.at + length)

    def skip(self, length: int) -> int:
        """Step over `length` bytes and return where they began."""
        begin, end = self.at, self.at + length
        if end > self.end:
            self._ended(end)
        self.at = end
        return begin

    def number(self, kind: int) -> int | float | bool:
        packing, begin = SCALARS[kind], self.at
        end = begin + packing.size
        if end > self.end:
            self._ended(end)
        self.at = end
        value: int | float | bool = packing.unpack_from(self.data, begin)[0]
        return value

    def count(self) -> int:
        begin = self.at
        if begin + 8 > self.end:
            self._ended(begin + 8)
        self.at = begin + 8
        value: int = _COUNT.unpack_from(self.data, begin)[0]
        return value

    def text(self, limit: int) -> str:
        length = self.count()
        self.texts_bytes += length
        if length > limit or self.texts_bytes > MAX_TEXTS_BYTES:
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
        self.spend(count * NUMBER_STEPS)
        letter = SCALARS[kind].format[-1]
        values = struct.unpack_from(f"<{count}{letter}", self.data, begin)
        return Listing(count, tuple(map(int, values)) if kind == BOOL else values)

    def _skip_strings(self, count: int) -> None:
        self.expect(8 * count)
        self.spend(count)
        if count >= MANY:
            match = _short_strings().match
            while count >= CHUNK:
                count -= CHUNK
                if found := match(self.data, self.at, self.end):
                    self.spend(max(0, (found.end() - self.at) // BYTES_PER_STEP - CHUNK))
                    self.at = found.end()
                else:
                    self.spend(CHUNK)  # for the match that failed
                    self._walk_strings(CHUNK, and_then=count)
        self._walk_strings(count)

    def _walk_strings(self, count: int, *, and_then: int = 0) -> None:
        """Step over `count` strings one by one; that many more are known to follow."""
        self.spend(count * (SLOW_STRING_STEPS - 1))
        length_at, data, at, left = _COUNT.unpack_from, self.data, self.at, count
        try:
            for left in range(count - 1, -1, -1):  # noqa: B007
                at += 8 + length_at(data, at)[0]
        except (struct.error, OverflowError):  # the length that it should be at is past the end
            self._ended(at + 8 * (left + 1 + and_then))
        self.at = at  # past the end, if the last text is: whatever is read next notices

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


@cache
def _short_strings() -> re.Pattern[bytes]:
    """A pattern of CHUNK strings of at most LONGEST bytes, each behind its length.

    It takes some 45 ns a string where a loop takes 110. Possessive, so that it neither keeps a
    state per string nor tries anything twice. The commonest lengths come first.
    """
    lengths = sorted(range(LONGEST + 1), key=lambda n: abs(n - COMMONEST))
    strings = (
        re.escape(bytes([n])) + rb"\x00{7}+" + (b".{%d}+" % n if n else b"") for n in lengths
    )
    return re.compile(b"(?s:(?:" + b"|".join(strings) + b"){%d}+)" % CHUNK)
