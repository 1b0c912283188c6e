"""What a prompt begins with, as marks that say nothing of it: two prompts are alike as far as theirs are. Pure.

A mark stands for all bytes up to its place, so that the number of marks in common is how far two
prompts agree. They are keyed: who finds them in a file learns nothing about the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

BLOCK_BYTES = 128
"""Of a prompt's text for each mark: where two prompts part is known to about 32 tokens, which is what may
be read again unnoticed. Marks of 20,000 tokens take 5 KB and 0.3 ms."""

_FIRST_BYTES = 32
_FIRST = BLOCK_BYTES // _FIRST_BYTES
"""In the first block there are so many marks: a chat may begin with a single line."""

MARK_BYTES = 8
BYTES_PER_TOKEN = 4
"""About so many, of English and of code."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Of one prompt."""

    marks: bytes
    """MARK_BYTES for each whole block, and for each quarter of the first."""

    size_bytes: int
    """Of its text; the last block is mostly not whole."""

    def common_bytes(self, other: Outline) -> int:
        """How many bytes of text the two have in common from the first on, in whole blocks."""
        most = min(len(self.marks), len(other.marks)) // MARK_BYTES
        low, high = 0, most
        while low < high:  # a mark stands for all before it: the first that differs is sought
            middle = (low + high + 1) // 2
            end = middle * MARK_BYTES
            if self.marks[end - MARK_BYTES : end] == other.marks[end - MARK_BYTES : end]:
                low = middle
            else:
                high = middle - 1
        return _bytes_up_to(low)


def outline_of(parts: Iterable[bytes], key: bytes) -> Outline:
    """Outline a prompt.

    Args:
        parts: Its text, in the order in which the model reads it.
        key: This installation's own, 16 to 64 bytes.
    """
    text = b"\0".join(parts)
    chain = blake2b(key=key, digest_size=MARK_BYTES)
    view, marks = memoryview(text), bytearray()
    start, number = 0, 1
    while (end := _bytes_up_to(number)) <= len(text):
        chain.update(view[start:end])
        marks += chain.copy().digest()
        start, number = end, number + 1
    return Outline(bytes(marks), len(text))


def _bytes_up_to(marks: int) -> int:
    """How much of a text so many marks stand for."""
    return marks * _FIRST_BYTES if marks < _FIRST else (marks - _FIRST + 1) * BLOCK_BYTES
