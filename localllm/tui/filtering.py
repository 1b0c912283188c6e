"""Finds models by a few letters of what is known of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.tui.choices import Choice


def matching(choices: Sequence[Choice], text: str) -> tuple[Choice, ...]:
    """Those that have every part of a text; where none has, those with its letters in order.

    Dots and dashes need not be typed: qwen36 finds qwen3.6.
    """
    parts = [squashed for part in text.split() if (squashed := _squashed(part))]
    found = tuple(one for one in choices if all(part in _said_of(one) for part in parts))
    if found:
        return found
    return tuple(one for one in choices if all(_is_within(part, _said_of(one)) for part in parts))


def _said_of(one: Choice) -> str:
    """What may be typed to find it."""
    here = "serving" if one.is_serving else "disk" if one.on_disk else "fetch"
    words = (one.name, one.quant or "", (one.verdict or "").replace("_", " "), here)
    return "\n".join(_squashed(word) for word in words)


def _squashed(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _is_within(part: str, text: str) -> bool:
    """Whether its letters are in the text, in this order."""
    letters = iter(text)
    return all(letter in letters for letter in part)
