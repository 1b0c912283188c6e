"""What counts of a request for who serves it and when: its model, its client, its length. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from localllm.supervisor.lending import Asking
from localllm.supervisor.resolving import Resolved

_BYTES_PER_TOKEN = 3.5
"""Of a request's JSON. English has 4 to 5 per token, code and other languages less; the quotes and
names of JSON make up for it."""

_IMAGE = re.compile(rb";base64,[A-Za-z0-9+/=\\]*")
_SESSIONS = (
    "x-session-id",
    "x-session-affinity",
    "x-claude-code-session-id",
    "session_id",
)
"""In which agents name a conversation: OpenCode, Claude Code and Codex."""


def asking_of(
    resolved: Resolved, body: bytes, headers: Mapping[str, str], *, key: str | None, address: str
) -> Asking:
    """Read what counts.

    Args:
        resolved: What the request's name means.
        headers: By name in any case, as aiohttp has them.
        key: The id of the client's API key; None for who needs none.
    """
    client = client_of(headers, key=key, address=address)
    return Asking(resolved.name, client, prompt_tokens(body), resolved.wanted)


def client_of(headers: Mapping[str, str], *, key: str | None, address: str) -> str:
    """Tell clients apart: by the conversation, else by key, program and address.

    Two conversations of one program are two clients, since they wait for each other.
    """
    if conversation := conversation_of(headers):
        return f"{key} conversation {conversation}"
    return f"{key} {address} {headers.get('User-Agent', '')}"


def conversation_of(headers: Mapping[str, str]) -> str | None:
    """Find what an agent calls the conversation; None where it does not tell."""
    return next((headers[name] for name in _SESSIONS if headers.get(name)), None)


def prompt_tokens(body: bytes) -> int:
    """Estimate the length of a prompt, without what is an image in it."""
    size = len(body)
    if b";base64," in body:
        size -= sum(len(found.group()) for found in _IMAGE.finditer(body))
    return int(size / _BYTES_PER_TOKEN)
