"""Finds models by a few letters of what is known of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.tui.choices import Choice

ADDRESSES = ("hf:", "https:", "ollama:", "/", "~/", "./")
"""What an address begins with: that of a model in no list."""


def is_address(text: str) -> bool:
    """Whether it names a model by itself: hf:owner/repo, a page of the hub, or a path."""
    return text.strip().startswith(ADDRESSES)


def at_address(choices: Sequence[Choice], address: str) -> tuple[Choice, ...]:
    """Those that an address means; else first what it may mean itself, then those that begin with it."""
    wanted = address.strip()
    found = tuple(one for one in choices if wanted == one.path or wanted.casefold() in _names(one))
    if found:
        return found
    begun = [one for one in choices if _begins(one, wanted)]
    return (Choice(wanted, None, wanted), *begun)


def matching(choices: Sequence[Choice], text: str) -> tuple[Choice, ...]:
    """Those that have every part of a text; where none has, those with its letters in order.

    Dots and dashes need not be typed: qwen36 finds qwen3.6.
    """
    parts = [squashed for part in text.split() if (squashed := _squashed(part))]
    found = tuple(one for one in choices if all(part in _said_of(one) for part in parts))
    if found:
        return found
    return tuple(one for one in choices if all(_is_within(part, _said_of(one)) for part in parts))


def _names(one: Choice) -> tuple[str, ...]:
    return one.name.casefold(), one.ask.casefold(), one.key


def _begins(one: Choice, text: str) -> bool:
    by_name = any(name.startswith(text.casefold()) for name in _names(one))
    return by_name or (one.path or "").startswith(text)


def _said_of(one: Choice) -> str:
    """What may be typed to find it."""
    here = "serving" if one.is_serving else "disk" if one.on_disk else "fetch"
    served = "" if one.served is None else one.served.id
    words = (one.name, served, one.quant or "", (one.verdict or "").replace("_", " "), here)
    return "\n".join(_squashed(word) for word in words)


def _squashed(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def _is_within(part: str, text: str) -> bool:
    """Whether its letters are in the text, in this order."""
    letters = iter(text)
    return all(letter in letters for letter in part)
