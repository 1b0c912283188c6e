"""The tokens of a prompt that was sent to an engine, by that engine's own tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from localllm.engine_client.chat_tokens import fetch_chat_tokens, fetch_text_tokens
from localllm.metrics.live import Live
from localllm.supervisor.fleet import Fleet

_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"


class _Completion(msgspec.Struct):
    prompt: str | list[int]


async def prompt_tokens_of(
    fleet: Fleet, live: Live, path: str, body: bytes
) -> Sequence[int] | None:
    """Have a request's prompt cut again, by the instance that answered it.

    Args:
        path: Of the engine's endpoint.
        body: As it was sent there.

    Returns:
        None where it is no prompt that others go on from, the engine cannot tell, or is gone.
    """
    hosted = next((one for one in fleet.instances() if one.id == live.instance), None)
    client = None if hosted is None else fleet.client_of(hosted)
    if client is None:
        return None
    if path == _CHAT:
        return await fetch_chat_tokens(client, body)
    prompt = _prompt_of(body) if path == _COMPLETIONS else None
    return await fetch_text_tokens(client, prompt) if isinstance(prompt, str) else prompt


def _prompt_of(body: bytes) -> str | list[int] | None:
    try:
        return msgspec.json.decode(body, type=_Completion).prompt
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # several texts, whose answers take several slots
