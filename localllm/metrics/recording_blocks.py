"""What two prompts have in common, as numbers that say nothing of them: one for each block of tokens.

A number stands for all tokens up to the end of its block, so prompts have in common what their
first equal numbers stand for. Numbers are given in the order in which blocks are first seen; that
two blocks are the same is known by a keyed hash, whose key is never kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from localllm.api.traffic_file import BLOCK_TOKENS

_DIGEST_BYTES = 16
_MOST_ENDS = 128
_PADDING = -1
_TOLERATED = 2


@dataclass(frozen=True, slots=True)
class Marked:
    """One prompt."""

    hash_ids: Sequence[int]
    goes_on_from: int | None
    """The last request that this one's prompt begins with as a whole."""


@dataclass(slots=True)
class Blocks:
    """Mutable: the blocks of all prompts of one recording.

    Args:
        key: Made for this recording, 16 to 64 bytes.
        most: Different blocks; beyond them `is_full`.
    """

    key: bytes = field(repr=False)
    most: int = 500_000
    _numbers: dict[bytes, int] = field(default_factory=dict[bytes, int], repr=False)
    _ends: dict[bytes, tuple[int, int]] = field(
        default_factory=dict[bytes, tuple[int, int]], repr=False
    )
    """Of the last prompts: by their last hash their length in tokens and their request."""

    @property
    def is_full(self) -> bool:
        return len(self._numbers) >= self.most

    def mark(self, request: int, model: str, tokens: Sequence[int]) -> Marked:
        """Number the blocks of a prompt, and find what it goes on from.

        Args:
            model: Prompts of two models have nothing in common.
        """
        if not tokens:
            return Marked((), None)
        lengths = sorted({length for length, _ in self._ends.values() if length <= len(tokens)})
        blocks = range(BLOCK_TOKENS, len(tokens), BLOCK_TOKENS)
        hashes = self._hashes(model, tokens, {*blocks, *lengths})
        before = [self._ends.get(hashes[length]) for length in lengths]
        earlier = [one for one in before if one is not None]
        ids = [self._number(hashes[end]) for end in (*blocks, len(tokens))]
        self._remember(hashes[len(tokens)], len(tokens), request)
        return Marked(ids, earlier[-1][1] if earlier else None)

    def _hashes(self, model: str, tokens: Sequence[int], places: set[int]) -> dict[int, bytes]:
        """Hash all tokens before each place, and all of them."""
        chain = blake2b(b"%s\0" % model.encode(), key=self.key, digest_size=_DIGEST_BYTES)
        packed, start, hashes = memoryview(array("q", tokens)), 0, dict[int, bytes]()
        for place in sorted({*places, len(tokens)}):
            chain.update(packed[start:place])
            hashes[place], start = chain.copy().digest(), place
        return hashes

    def _number(self, digest: bytes) -> int:
        return self._numbers.setdefault(digest, len(self._numbers))

    def _remember(self, digest: bytes, length: int, request: int) -> None:
        self._ends.pop(digest, None)  # the newest are last
        self._ends[digest] = (length, request)
        while len(self._ends) > _MOST_ENDS:
            del self._ends[next(iter(self._ends))]


def aligned(tokens: Sequence[int], length: int | None) -> Sequence[int] | None:
    """Make the tokens of a prompt as many as its engine counted; None if they are another prompt's.

    What begins or ends a prompt may be counted otherwise; with an image in it, it is all different.
    """
    if length is None or length == len(tokens):
        return tokens
    if abs(length - len(tokens)) > _TOLERATED:
        return None
    return [*tokens[:length], *[_PADDING] * (length - len(tokens))]
