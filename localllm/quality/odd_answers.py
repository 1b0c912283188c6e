"""What cannot be an answer, whatever was asked, and however small the model is. Pure."""

from __future__ import annotations

import re
from unicodedata import category

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

_LOOP_TIMES, _LOOP_LONGEST, _LOOP_LEAST = 4, 240, 60
"""A piece of so many characters at most that ends a long answer so often, and makes up so much of it."""

_MARKUP = re.compile(
    r"<\|[\w▁ /-]{1,40}\|>|<\uff5c[^<>]{1,40}\uff5c>|</?s>|\[/?INST\]|<<?/?SYS>>?|<(?:start|end)_of_turn>"
    r"|<(?:bos|eos|pad|unk)>|\[(?:BOS|EOS|PAD|UNK|TOOL_CALLS)\]"
)
"""How models mark turns; in an answer it means that a token is not taken for what it is."""


def wrong_with(answer: str) -> str | None:
    """Say what is wrong with a whole answer; None: it may be one."""
    if not answer:
        return "nothing at all"
    if _is_repeated(answer) or _is_repeated("".join(answer.split())):
        return f"one and the same over and over ({shown(answer)})"
    if _is_no_text(answer):
        return f"what is no text ({shown(answer)})"
    return None


def loop_in(answer: str) -> str | None:
    """Find the piece with which a long answer goes round in circles; None: it does not.

    Small models do that at temperature 0, so it is no proof that one is broken.
    """
    text = answer.rstrip()
    for size in range(2, min(_LOOP_LONGEST, len(text) // _LOOP_TIMES) + 1):
        piece = text[-size:]
        if text.endswith(piece * _LOOP_TIMES) and size * _LOOP_TIMES >= _LOOP_LEAST:
            return shown(piece.strip())
    return None


def markup_in(answer: str) -> str | None:
    """Find a mark of a turn's beginning or end that was written out as text."""
    found = _MARKUP.search(answer)
    return None if found is None else found.group()


def shown(answer: str) -> str:
    """The beginning, with what cannot be printed escaped."""
    return repr(answer if len(answer) <= _SHOWN else f"{answer[:_SHOWN]}…")


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
