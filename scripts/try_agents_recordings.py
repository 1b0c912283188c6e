"""Makes a recording for the tests of what an agent sent: its first request, and one with results.

Nothing of the machine, of an account or of a session is in it. Long texts, which are their authors'
prompts, are cut: what the translation needs of them is that they are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from try_agents_recorder import Exchange

KEPT = 160
"""Characters of a text."""

_HEADERS = (
    "accept",
    "anthropic-",
    "content-type",
    "originator",
    "user-agent",
    "x-claude-code-session-id",
    "x-session-",
    "x-stainless-timeout",
)
"""What those that are kept begin with."""

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SCRUBBED = (
    (_UUID, "00000000-0000-0000-0000-000000000000"),
    (r"\b(?:[0-9a-f]{64}|[0-9a-f]{32})\b", "0" * 32),
    (r"\bses_\w+", "ses_0"),
    (r"\bLinux \d[\w.+-]*|\bDebian [\d.]+", "Linux"),
)
_DATES = (
    (r"\b20\d\d-\d\d-\d\d(?:T[\d:.]+Z?)?", "2026-01-01"),
    (r"\b[A-Z][a-z]+day, [A-Z][a-z]+ \d+, 20\d\d", "Thursday, January 1, 2026"),
)
"""Not in headers, where they are versions."""


def recording_of(
    whose: str,
    exchanges: Sequence[Exchange],
    asked: str,
    secret: str,
    places: Mapping[str, str],
) -> dict[str, object]:
    """Pick the first and the last request of a scripted turn.

    Args:
        asked: A word of the task; a title may be asked for by the way.
        secret: What stands in a tool's result, and nowhere else.
        places: What to write for each path of this machine.

    Raises:
        ValueError: They are not there.
    """
    turns = [one for one in exchanges if one.method == "POST" and b'"tools"' in one.body]
    thens = [one for one in turns if secret.encode() in one.body]
    firsts = [one for one in turns if one not in thens and asked.encode() in one.body]
    if not firsts or not thens:
        raise ValueError(f"{whose} did not get as far as a tool's result")
    first, then = (_read(one, places) for one in (firsts[0], thens[-1]))
    return {
        "note": f"Sent by {whose}; texts over {KEPT} characters are cut.",
        "target": firsts[0].target,
        "headers": {
            key: _scrubbed(value, places)
            for key, value in sorted(firsts[0].headers.items())
            if key.startswith(_HEADERS)
        },
        "first": first,
        "then": {key: value for key, value in then.items() if value != first.get(key)},
    }


def _read(one: Exchange, places: Mapping[str, str]) -> dict[str, object]:
    return {key: _clean(value, places) for key, value in json.loads(one.body).items()}


def _clean(value: object, places: Mapping[str, str]) -> object:
    match value:
        case dict():
            return {key: _clean(each, places) for key, each in value.items()}
        case list():
            return [_clean(each, places) for each in value]
        case str():
            return _cut(_scrubbed(value, places, _SCRUBBED + _DATES))
        case _:
            return value


def _cut(text: str) -> str:
    left_out = len(text) - KEPT
    return text if left_out <= 0 else f"{text[:KEPT]} [{left_out} characters left out]"


def _scrubbed(
    text: str, places: Mapping[str, str], patterns: Sequence[tuple[str, str]] = _SCRUBBED
) -> str:
    for place, written in places.items():
        text = text.replace(place, written)
    for pattern, written in patterns:
        text = re.sub(pattern, written, text)
    return text
