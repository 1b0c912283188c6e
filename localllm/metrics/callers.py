"""Who asks, in words that may be shown and kept: the program, the conversation, a key's name. Pure.

A User-Agent is the client's to choose: only what looks like a product's name and version is taken
of it, so that neither a key nor a megabyte gets from there into logs, labels and files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

UNKNOWN, OTHER = "unknown", "other"
"""A program that does not say its name, and one that says something else there."""

_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,31})(/[0-9][A-Za-z0-9_.+-]{0,23})?(?=$|[\s;,(])")
_SDK = re.compile(
    r"[A-Za-z][A-Za-z0-9_.-]{0,31}/(?:Python|JS)(?:\s([0-9][A-Za-z0-9_.+-]{0,23}))?(?=$|\s)"
)
"""How the official clients name themselves: OpenAI/Python 2.9.0, Anthropic/JS 0.70.1."""

_LIKE_A_KEY = re.compile(r"^(?:sk|pk|hf|gh[a-z]|xox[a-z]|key|token|bearer|llm)[-_]", re.IGNORECASE)
_CONVERSATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request."""

    program: str = UNKNOWN
    """As in "claude-cli/2.1.330"."""

    conversation: str | None = None
    """As its agent numbers it; None where it does not tell, or has no harmless form."""

    key_name: str | None = None
    """Of the API key, which itself is never here."""

    @property
    def program_name(self) -> str:
        """Without its version: of these there are few."""
        return self.program.partition("/")[0]


def caller_of(
    user_agent: str | None, conversation: str | None = None, key_name: str | None = None
) -> Caller:
    """Take of what a client says of itself what may be shown and kept."""
    named = conversation is not None and _CONVERSATION.fullmatch(conversation)
    harmless = conversation if named and not _LIKE_A_KEY.match(conversation or "") else None
    return Caller(program_of(user_agent), harmless, key_name)


def is_client(pattern: str, caller: Caller) -> bool:
    """Tell whether a pattern, as in claude*, is of a caller: of its program, conversation or key's name."""
    wanted = pattern.lower()
    named = (caller.program, caller.program_name, caller.conversation, caller.key_name)
    return any(name is not None and fnmatchcase(name.lower(), wanted) for name in named)


def program_of(user_agent: str | None) -> str:
    """Name the program, with its version where it tells one.

    >>> program_of("claude-cli/2.1.330 (external, cli)"), program_of("OpenAI/Python 2.9.0")
    ('claude-cli/2.1.330', 'OpenAI-Python/2.9.0')
    """
    said = (user_agent or "").strip()
    if not said:
        return UNKNOWN
    if sdk := _SDK.match(said):
        name = said.split(maxsplit=1)[0].replace("/", "-")
        return f"{name}/{sdk[1]}" if sdk[1] else name
    product = _PRODUCT.match(said)
    if product is None or _LIKE_A_KEY.match(product[1]):
        return OTHER
    return product[1] + (product[2] or "")
