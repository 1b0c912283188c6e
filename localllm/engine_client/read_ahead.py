"""Has an engine read a prompt that nobody waits for yet, so that it is in its cache."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient

PATHS = frozenset({"/v1/chat/completions", "/v1/completions"})
"""Where requests have this form."""

_OF_THE_ANSWER = frozenset(
    {"timings_per_token", "max_completion_tokens", "max_output_tokens", "n_predict", "min_tokens"}
)
"""llama.cpp goes by `n_predict` before `max_tokens`."""

_STREAMED = {
    "max_tokens": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "return_progress": True,
}
"""Only what is written to is seen to have gone: llama.cpp looks for the client while it sends, and a
prompt without progress is read to its end whoever has left."""

_DATA = b"data: {"


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Piece(msgspec.Struct):
    usage: _Usage | None = None


async def read_ahead(client: EngineClient, path: str, body: bytes, slot: int | None) -> int | None:
    """Send a request again, for its prompt alone; whoever cancels this ends the reading.

    Args:
        body: As it was sent to this path.
        slot: Where it is to be read; None leaves it to the engine.

    Returns:
        Tokens of the prompt; None where it could not be read.
    """
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        kept = {name: value for name, value in members.items() if name not in _OF_THE_ANSWER}
        where = {} if slot is None else {"id_slot": slot}
        asked = msgspec.json.encode({**kept, **_STREAMED, **where})
        async with client.post(path, asked, fresh=True) as answer:
            return await _count(answer) if answer.status == HTTPStatus.OK else None
    except (aiohttp.ClientError, OSError, msgspec.DecodeError, ValueError):
        return None  # no UTF-8, or a line beyond aiohttp's bound, among them


async def _count(answer: aiohttp.ClientResponse) -> int | None:
    """Follow it to its end, where the engine says how much it was."""
    tokens = None
    async for line in answer.content:
        if line.startswith(_DATA):
            usage = msgspec.json.decode(line[len(_DATA) - 1 :], type=_Piece).usage
            tokens = tokens if usage is None else usage.prompt_tokens
    return tokens
