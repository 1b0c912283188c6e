"""Finds words that are a token each for the model that is served, by asking it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education foot boy age policy "
    "music market sense nation plan college interest death experience effect use class control "
    "field development role effort rate heart drug show leader light voice wife police mind price"
)
_WORDS = tuple(f" {word}" for word in dict.fromkeys(_TEXT.split()))

LEAST = 16
"""With fewer words, blocks could not be told apart."""

Count = Callable[[str], Awaitable[int | None]]
"""Asks how many tokens a text has as a prompt, those that are put before it among them; None: the
model's answer does not say."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words to make prompts of.

    Args:
        words: Each with the blank that goes before it.
        before: Tokens that the engine puts before every prompt.
        is_exact: Whether prompts of these are exactly as long as they are to be.
    """

    words: Sequence[str]
    before: int
    is_exact: bool


async def find_words(count: Count) -> Words:
    """Find them. A few short prompts are read for it, more for a model of an unusual vocabulary."""
    words: Sequence[str] = _WORDS
    first = await count(words[0])
    whole = await count("".join(words))
    if first is None or whole is None:
        return Words(words, 0, is_exact=False)
    before = first - 1
    if whole - before != len(words):
        words = await _single(words, before, count)
        whole = await count("".join(words))
    if len(words) < LEAST or whole != before + len(words):
        return Words(_WORDS, 0, is_exact=False)
    return Words(words, before, is_exact=True)


async def _single(words: Sequence[str], before: int, count: Count) -> list[str]:
    """Keep those that are a token each: halves are asked about until one is all good or one word."""
    tokens = await count("".join(words))
    if tokens is not None and tokens - before == len(words):
        return [*words]
    if len(words) == 1:
        return []
    half = len(words) // 2
    return [
        *await _single(words[:half], before, count),
        *await _single(words[half:], before, count),
    ]
