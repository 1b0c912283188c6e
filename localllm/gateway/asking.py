"""What counts of a request for who serves it and when: its model, its client, its length. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from localllm.supervisor.lending import Asking
from localllm.supervisor.resolving import Resolved

_BYTES_PER_TOKEN = 3.5
"""Of a request's JSON. English has 4 to 5 per token, code and other languages less; the quotes and
names of JSON make up for it."""

_IMAGE = re.compile(rb";base64,[A-Za-z0-9+/=\\]*")
PASSING = "x-localllm-passing"
"""With `1`, whoever sends a prompt says that nobody will go on from it, as a bench does."""

_SESSIONS = (
    "x-session-id",
    "x-session-affinity",
    "x-claude-code-session-id",
    "session_id",
)
"""In which agents name a conversation: OpenCode, Claude Code and Codex."""


class _Keyed(msgspec.Struct):
    prompt_cache_key: object = None


def asking_of(
    resolved: Resolved, body: bytes, headers: Mapping[str, str], *, key: str | None, address: str
) -> Asking:
    """Read what counts.

    Args:
        resolved: What the request's name means.
        headers: By name in any case, as aiohttp has them.
        key: The id of the client's API key; None for who needs none.
    """
    conversation = conversation_of(headers, body)
    client = client_of(headers, conversation, key=key, address=address)
    return Asking(
        resolved.name,
        client,
        prompt_tokens(body),
        resolved.wanted,
        conversation,
        is_passing=is_passing(headers),
    )


def is_passing(headers: Mapping[str, str]) -> bool:
    """Tell whether a prompt is not worth keeping, as its client says."""
    return headers.get(PASSING) == "1"


def client_of(
    headers: Mapping[str, str], conversation: str | None, *, key: str | None, address: str
) -> str:
    """Tell clients apart: by the conversation, else by key, program and address.

    Two conversations of one program are two clients, since they wait for each other.
    """
    if conversation:
        return f"{key} conversation {conversation}"
    return f"{key} {address} {headers.get('User-Agent', '')}"


def conversation_of(headers: Mapping[str, str], body: bytes) -> str | None:
    """Find what an agent calls the conversation; None where it does not tell."""
    named = next((headers[name] for name in _SESSIONS if headers.get(name)), None)
    return named or _cache_key(body)


def _cache_key(body: bytes) -> str | None:
    """Read OpenAI's own word for it, which Codex sends."""
    if b'"prompt_cache_key"' not in body:
        return None
    try:
        key = msgspec.json.decode(body, type=_Keyed).prompt_cache_key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the check of the request says what is wrong
    return key if isinstance(key, str) and key else None


def prompt_tokens(body: bytes) -> int:
    """Estimate the length of a prompt, without what is an image in it."""
    size = len(body)
    if b";base64," in body:
        size -= sum(len(found.group()) for found in _IMAGE.finditer(body))
    return int(size / _BYTES_PER_TOKEN)
