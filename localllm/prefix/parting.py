"""Where two prompts part that are the same but for a little, and what that costs. Pure.

A prompt that goes on from an earlier one is read from where the two part. If that is in the middle,
since a date or the order of the tools has changed, all that comes after it is read again, though it
is the same: the prefix is broken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from localllm.prefix.differing import Kind, kind_at, snippet

LEAST_SAME_BYTES = 512
"""About 128 tokens; what is less is read again unnoticed."""

_ALIKE = 0.5
"""Of what comes after the place, for two prompts to be the same but for a little."""

_NEAR = 0.2
"""How far an estimate of the place may be off."""

_UNNOTICED_TOKENS = 64
_LINE = b"\\n"
"""As JSON writes a line's end."""

Parts = Sequence[bytes]
"""Of one prompt: the JSON of its tools, then that of each message."""


@dataclass(frozen=True, slots=True)
class Parting:
    """Where a prompt is not as the one before."""

    part: str
    """As in "tools" and "message 3 (user)"; messages are counted from 1."""

    offset_bytes: int
    """In the whole prompt, as it was sent."""

    kind: Kind
    before: str
    now: str
    """What was and what is there, on one line, with a few words around it."""

    same_bytes: int
    """After the place, what is the same, and is read again."""

    tokens: int | None = None
    """Before the place; None: nobody knows how many bytes a token has."""

    again_tokens: int | None = None
    """Of `same_bytes`."""

    is_exact: bool = False
    """Whether `tokens` is what the engine found in its cache, and no estimate."""


class _Message(msgspec.Struct):
    role: str | None = None


class _Function(msgspec.Struct):
    name: str = ""


class _Tool(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)
    name: str = ""


def find_break(before: Parts, now: Parts) -> Parting | None:
    """Find where a prompt parts from an earlier one, if the two are the same but for a little.

    It is a break if there are at least `LEAST_SAME_BYTES` after the place that both prompts have,
    and these are half or more of what the shorter of the two has there: of the part itself, as of
    a system prompt with another date, whatever comes after it in a new conversation; or of all that
    comes, as after tools in another order. So it is none if one is a beginning of the other (a turn
    more, a history that was shortened at its end), if what comes after is new (another question, a
    summary in the place of the history), if all of it is another prompt (a title's). And what has
    tools is not compared with what has none: that was meant for something else.
    """
    place = first_difference(before, now)
    if place is None or _has_tools(before) != _has_tools(now):
        return None
    old, new = before[place], now[place]
    at = common_bytes(old, new)
    rests = min(len(old), len(new)) - at
    later = min(_size(before[place + 1 :]), _size(now[place + 1 :]))
    within, others = _same_within(old, new, at), _same_parts(before[place:], now[place:])
    same = within + others
    is_all_alike = same >= max(LEAST_SAME_BYTES, _ALIKE * (rests + later))
    if not is_all_alike and within < max(LEAST_SAME_BYTES, _ALIKE * rests):
        return None
    return _parting(before, now, place, same)


def first_difference(before: Parts, now: Parts) -> int | None:
    """Find the first part that differs; None if one prompt is a beginning of the other."""
    pairs = enumerate(zip(before, now, strict=False))
    return next((place for place, (old, new) in pairs if old != new), None)


def common_bytes(one: bytes, other: bytes) -> int:
    """Count the bytes that are the same from the first on."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def estimated(parting: Parting, tokens: int, size_bytes: int) -> Parting:
    """Say it in tokens.

    Args:
        tokens: Of a prompt like this one.
        size_bytes: Of the same.
    """
    each = tokens / max(1, size_bytes)
    place, again = round(parting.offset_bytes * each), round(parting.same_bytes * each)
    return replace(parting, tokens=place, again_tokens=again)


def measured(
    parting: Parting, *, cached: int, prompt_tokens: int, before_tokens: int | None
) -> Parting | None:
    """Believe the engine rather than the estimate; None if nothing had to be read again.

    Args:
        cached: What the engine had of the prompt. It is the place itself, if it had all of the
            earlier prompt.
        before_tokens: Of the earlier prompt.
    """
    shorter = prompt_tokens if before_tokens is None else min(prompt_tokens, before_tokens)
    if cached > shorter - _UNNOTICED_TOKENS:
        return None
    again = min(parting.again_tokens or 0, prompt_tokens - cached)
    if parting.tokens is not None and abs(cached - parting.tokens) <= _NEAR * parting.tokens:
        return replace(parting, tokens=cached, again_tokens=again, is_exact=True)
    return replace(parting, again_tokens=again)


def _parting(before: Parts, now: Parts, place: int, same_bytes: int) -> Parting:
    old, new = before[place], now[place]
    at = common_bytes(old, new)
    kind, was, became = kind_at(old, new, at), snippet(old, at), snippet(new, at)
    if old in now[place + 1 :] or new in before[place + 1 :]:
        kind = Kind.TEXT  # a whole message was put in or left out
    if moved := _moved(old, new):
        kind, (was, became) = Kind.ORDER, moved
    offset = _size(now[:place]) + at
    return Parting(_name_of(now, place), offset, kind, was, became, same_bytes)


def _name_of(parts: Parts, place: int) -> str:
    part = parts[place].lstrip()
    if _is_tools(part):
        return "tools"
    if part.startswith(b'"'):
        return "prompt" if len(parts) == 1 else "reasoning_effort"
    role = _role(part)
    if role is None:
        return "chat_template_kwargs"
    number = sum(_role(each) is not None for each in parts[:place]) + 1
    return f"message {number} ({role})"


def _role(part: bytes) -> str | None:
    try:
        return msgspec.json.decode(part, type=_Message).role
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _same_within(old: bytes, new: bytes, at: int) -> int:
    """Count what is the same behind the place: at the end in one piece, or line by line."""
    end = common_bytes(old[at:][::-1], new[at:][::-1])
    if end == min(len(old), len(new)) - at:
        return end
    return max(end, _same_parts(*_without_beginning(_pieces(old), _pieces(new))))


def _pieces(part: bytes) -> Parts:
    return _tools(part) or part.split(_LINE)


def _without_beginning(old: Parts, new: Parts) -> tuple[Parts, Parts]:
    place = first_difference(old, new)
    place = min(len(old), len(new)) if place is None else place
    return old[place:], new[place:]


def _same_parts(old: Parts, new: Parts) -> int:
    """Count the bytes of those parts that both have, in whatever order."""
    both = Counter(old) & Counter(new)
    return sum(len(part) * times for part, times in both.items())


def _size(parts: Iterable[bytes]) -> int:
    return sum(map(len, parts))


def _has_tools(parts: Parts) -> bool:
    return bool(parts) and _is_tools(parts[0])


def _is_tools(part: bytes) -> bool:
    return part.lstrip().startswith(b"[")


def _tools(part: bytes) -> Parts:
    """Take tools apart; nothing if these are none."""
    if not _is_tools(part):
        return ()
    try:
        return [bytes(tool) for tool in msgspec.json.decode(part, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()


def _moved(old: bytes, new: bytes) -> tuple[str, str] | None:
    """Name the first tool that moved, and what is in its place; None if they are not the same ones."""
    were, are = _tools(old), _tools(new)
    if not were or Counter(were) != Counter(are):
        return None
    place = first_difference(were, are)
    return None if place is None else (_tool_name(were[place]), _tool_name(are[place]))


def _tool_name(tool: bytes) -> str:
    try:
        read = msgspec.json.decode(tool, type=_Tool)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return snippet(tool, 0)
    return snippet((read.function.name or read.name).encode("utf-8", "replace"), 0)
