"""Has an engine read a prompt that nobody waits for yet, so that it is in its cache."""

from __future__ import annotations

from http import HTTPStatus

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient

_OF_THE_ANSWER = ("stream_options", "max_completion_tokens", "return_progress", "timings_per_token")


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Answer(msgspec.Struct):
    usage: _Usage


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
        asked = msgspec.json.encode({**kept, "stream": False, "max_tokens": 1, **where})
        async with client.post(path, asked, fresh=True) as answer:
            if answer.status != HTTPStatus.OK:
                return None
            return msgspec.json.decode(await answer.read(), type=_Answer).usage.prompt_tokens
    except (aiohttp.ClientError, OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
