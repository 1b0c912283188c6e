"""Takes out of a request what nobody else is to read: keys always, texts where that is asked for. Pure.

Of headers only those stay that are known to be harmless. In bodies keys are known by their names
and by how they look, so a key without either mark stays: a capture is as private as the prompts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

_HARMLESS = re.compile(
    r"(?:accept|accept-encoding|accept-language|anthropic-beta|anthropic-version|connection"
    r"|content-encoding|content-length|content-type|expect|host|openai-beta|originator|priority"
    r"|sec-fetch-[a-z]+|transfer-encoding|user-agent|version|x-app|x-stainless-[a-z-]+"
    r"|x-session-id|x-session-affinity|x-claude-code-session-id|session[-_]id|conversation[-_]id"
    r"|x-should-retry|x-localllm-[a-z-]+)\Z",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"api[_-]?key|authorization|passw(?:or)?d|passphrase|secret|credential|cookie|private[_-]?key"
    r"|(?:access|auth|bearer|id|refresh|session)[_-]?token|\Atoken\Z",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}
    | \b(?:gh[pousr]|github_pat|glpat|hf|npm|pypi|xox[a-z])[-_][A-Za-z0-9_-]{12,}
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b
    | \bAIza[0-9A-Za-z_-]{30,}
    | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?
    | (?i:\bbearer[ ]+)[^\s"']{8,}
    | (?<=://)[^\s/:@"']{1,64}:[^\s/@"']{1,256}(?=@)
    | (?i:(?<=password=)|(?<=api_key=)|(?<=apikey=)|(?<=secret=)|(?<=token=))[^\s"'&]{4,}
    """,
    re.VERBOSE | re.DOTALL,
)
_REDACTED = "<redacted>"
_STRUCTURE = frozenset(
    {
        *("model", "role", "type", "object", "id", "call_id", "tool_call_id", "tool_use_id"),
        *("name", "tool_name", "tool_choice", "effort", "reasoning_effort", "verbosity", "status"),
        *(
            "service_tier",
            "truncation",
            "include",
            "encoding_format",
            "format",
            "detail",
            "display",
        ),
        *("summary", "ttl", "media_type", "required", "previous_response_id", "phase"),
    }
)
"""Members whose texts say how a request is built, not what it is about."""

_PLAIN = re.compile(r"[\w .:/@+-]{0,80}\Z")
_LONG_DATA = 200
_LONGEST_NAME = 80


def redact_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keep all names, and the values of those that are known to be harmless."""
    return [
        (name, _without_secrets(value) if _HARMLESS.match(name) else _length(value))
        for name, value in headers
    ]


def redact_body(body: bytes, *, texts: bool) -> object:
    """Read a body and take secrets out of it.

    Args:
        texts: Put lengths in the place of texts, too; what a request is built of stays.
    """
    try:
        return _redacted(msgspec.json.decode(body), name="", texts=texts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"<{len(body)} bytes that are no JSON>"


def redact_text(text: str) -> str:
    """Take out of a text what looks like a secret."""
    return _without_secrets(text)


def _redacted(value: object, *, name: str, texts: bool) -> object:
    match value:
        case dict():
            return {
                _member(str(key)): _redacted(part, name=str(key), texts=texts)
                for key, part in value.items()
            }
        case list():
            return [_redacted(part, name=name, texts=texts) for part in value]
        case str():
            return _text(value, name, texts=texts)
        case _:
            return value


def _text(value: str, name: str, *, texts: bool) -> str:
    if _SECRET_NAME.search(name):
        return _REDACTED
    if value.startswith("data:") and len(value) > _LONG_DATA:
        return f"<{value.partition(',')[0][:_LONGEST_NAME]}, {len(value)} characters>"
    if texts and not (name in _STRUCTURE and _PLAIN.match(value)):
        return _length(value)
    return _without_secrets(value)


def _member(name: str) -> str:
    return _without_secrets(name if len(name) <= _LONGEST_NAME else _length(name))


def _length(value: str) -> str:
    return f"<{len(value)} characters>"


def _without_secrets(value: str) -> str:
    return _SECRET.sub(_REDACTED, value)
