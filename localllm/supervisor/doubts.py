"""What of an interview speaks against a new engine process. Pure, and no judge of how clever a model is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import category

from localllm.engine_client.interview import Interview

_ODD_SHARE, _ODD_AT_LEAST = 0.25, 2
"""One alone may be a character that the answer's end has cut."""

_SAME_LETTER, _SAME_PIECE = 4, 8
"""How often a letter, or a longer piece, makes up a whole answer before it is none. An answer has
room for three times as many tokens, and people say `no, no, no`."""

_LONGEST_PIECE = 16
_MARKS = 8
"""Punctuation that is a whole answer is none, unless it is as short as dots that people write."""

_SHOWN = 40
_ORDINARY_CONTROLS = "\t\n\r"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a model's tokenizer."""

    tokens: int
    """Of interview.CHECK_TEXT."""

    told_by: str
    """Completes `according to`: its profile, SmolLM2 135M Q8_0."""


def doubts_about(heard: Interview, known: Known | None) -> tuple[str, ...]:
    """Say what looks wrong, in sentences for people; none if all is well.

    Args:
        known: None: nothing is known of this tokenizer, so its count is taken as it is.
    """
    return tuple(_doubts(heard, known))


def _doubts(heard: Interview, known: Known | None) -> Iterator[str]:
    if known is not None and heard.tokens not in (None, known.tokens):
        yield (
            f"Its tokenizer makes {heard.tokens} tokens of a fixed text,"
            f" and it should be {known.tokens} according to {known.told_by}."
        )
    if heard.round_trip is False:
        yield "Its tokenizer does not give a fixed text back as it was."
    if (wrong := _wrong_with(heard.answer)) is not None:
        yield f"It answered a simple question with {wrong}, as broken weights or a wrong chat template make it."


def _wrong_with(answer: str) -> str | None:
    if not answer:
        return "nothing at all"
    if _is_repeated(answer) or _is_repeated("".join(answer.split())):
        return f"one and the same over and over ({_shown(answer)})"
    if _is_no_text(answer):
        return f"what is no text ({_shown(answer)})"
    return None


def _is_repeated(text: str) -> bool:
    """Tell whether it is one short piece again and again; the last may be cut."""
    longest = min(_LONGEST_PIECE, len(text) // _SAME_PIECE)
    return _has_period(text, 1, _SAME_LETTER) or any(
        _has_period(text, size, _SAME_PIECE) for size in range(2, longest + 1)
    )


def _has_period(text: str, size: int, times: int) -> bool:
    return len(text) >= size * times and text[size:] == text[:-size]


def _is_no_text(answer: str) -> bool:
    odd = sum(map(_is_odd, answer))
    return odd >= max(_ODD_AT_LEAST, _ODD_SHARE * len(answer)) or _is_punctuation(answer)


def _is_punctuation(answer: str) -> bool:
    kinds = [category(character)[0] for character in answer if not character.isspace()]
    return len(kinds) >= _MARKS and set(kinds) == {"P"}


def _is_odd(character: str) -> bool:
    """Tell control characters, and what stands for bytes that are none."""
    if character in _ORDINARY_CONTROLS:
        return False
    return character == "\N{REPLACEMENT CHARACTER}" or category(character) == "Cc"


def _shown(answer: str) -> str:
    """The beginning, with what cannot be printed escaped."""
    return repr(answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…")
