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

MARK_BYTES = 8
BYTES_PER_TOKEN = 4
"""About so many, of English and of code."""


@dataclass(frozen=True, slots=True)
class Outline:
    """Of one prompt."""

    marks: bytes
    """MARK_BYTES for each whole block, from the first on."""

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
        return low * BLOCK_BYTES


def outline_of(parts: Iterable[bytes], key: bytes) -> Outline:
    """Outline a prompt.

    Args:
        parts: Its text, in the order in which the model reads it.
        key: This installation's own, 16 to 64 bytes.
    """
    text = b"\0".join(parts)
    chain = blake2b(key=key, digest_size=MARK_BYTES)
    view, marks = memoryview(text), bytearray()
    for start in range(0, len(text) - BLOCK_BYTES + 1, BLOCK_BYTES):
        chain.update(view[start : start + BLOCK_BYTES])
        marks += chain.copy().digest()
    return Outline(bytes(marks), len(text))
