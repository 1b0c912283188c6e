"""Prompts of recorded lengths that have in common what the recorded ones had. Pure.

A prompt is made of words that are a token each. Every recorded block stands for words of its own,
so two prompts are the same as far as their blocks are; and a prompt that went on from another one
begins with all of its words, though that may end within a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from localllm.api.traffic_file import Shape

_DIGITS = 3
_OWN_BLOCKS = 1 << 24
"""More than a prompt can have."""

_MASK = (1 << 64) - 1
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of splitmix64, by Steele, Lea and Flood."""

_SHIFT = 31


@dataclass(frozen=True, slots=True)
class Begin:
    """How a block begins: with the words of another one, which was not full."""

    length: int
    block: int


Begins = Mapping[int, Begin]


@dataclass(slots=True)
class Texts:
    """Makes words of blocks; what it has made it keeps. Mutable.

    Args:
        words: Each a token for the model, whatever is around it.
        salt: Two passes with different ones have nothing in common.
    """

    words: Sequence[str]
    block_tokens: int
    begins: Begins
    salt: int = 0
    _made: dict[int, list[str]] = field(default_factory=dict[int, "list[str]"])

    def words_of(self, shape: Shape) -> list[str]:
        """The words of a prompt, as many as it had tokens."""
        length = shape.input_length or 0
        made: list[str] = []
        for block in blocks_of(shape, self.block_tokens):
            made += self._words(block)
        return made[:length]

    def _words(self, block: int) -> list[str]:
        if block not in self._made:
            begin = self.begins.get(block)
            first = [] if begin is None else self._words(begin.block)[: begin.length]
            more = range(self.block_tokens - len(first))
            self._made[block] = first + [self._word(block, place) for place in more]
        return self._made[block]

    def _word(self, block: int, place: int) -> str:
        """The first words tell blocks apart, the others are as good as any."""
        count = len(self.words)
        if place < _DIGITS:
            digit: int = block // count**place
            return self.words[(digit + self.salt) % count]
        return self.words[_mixed(block, place, self.salt) % count]


def blocks_of(shape: Shape, block_tokens: int) -> Sequence[int]:
    """The blocks of a prompt; where nobody knows them they are all its own."""
    if shape.hash_ids is not None:
        return shape.hash_ids
    count = -(-(shape.input_length or 0) // block_tokens)
    return [-(shape.id * _OWN_BLOCKS + number + 1) for number in range(count)]


def begins_of(shapes: Iterable[Shape], block_tokens: int) -> Begins:
    """Find the blocks that begin as a prompt ended that was gone on from.

    A number that is the end of prompts of different lengths is nobody's beginning: no recording has
    one, and in a file that somebody made, blocks could begin with each other for ever.
    """
    known = {shape.id: shape for shape in shapes}
    ends = _ends(known.values())
    begins: dict[int, Begin] = {}
    for shape in known.values():
        earlier = known.get(-1 if shape.goes_on_from is None else shape.goes_on_from)
        if earlier is None or not earlier.hash_ids or not shape.hash_ids:
            continue
        length = earlier.input_length or 0
        place, rest = divmod(length, block_tokens)
        if not rest or length >= (shape.input_length or 0):
            continue
        block, begin = shape.hash_ids[place], earlier.hash_ids[-1]
        end = min((place + 1) * block_tokens, shape.input_length or 0)
        if ends[begin] == {length} and ends.get(block, {end}) == {end}:
            _put(begins, block, Begin(rest, begin))
    return begins


def _ends(shapes: Iterable[Shape]) -> Mapping[int, set[int]]:
    """How long the prompts are that a block ends."""
    ends: dict[int, set[int]] = {}
    for shape in shapes:
        if shape.hash_ids:
            ends.setdefault(shape.hash_ids[-1], set()).add(shape.input_length or 0)
    return ends


def _put(begins: dict[int, Begin], block: int, begin: Begin) -> None:
    """Note how a block begins: of two beginnings, the shorter one is the longer one's."""
    if block == begin.block:
        return
    there = begins.get(block)
    if there is None:
        begins[block] = begin
    elif begin.length > there.length:
        begins[block] = begin
        _put(begins, begin.block, there)
    elif begin.length < there.length:
        _put(begins, there.block, begin)


def _mixed(*numbers: int) -> int:
    mixed = 0
    for number, multiplier in zip(numbers, _MULTIPLIERS, strict=True):
        mixed = ((mixed ^ number) * multiplier) & _MASK
        mixed ^= mixed >> _SHIFT
    return mixed
