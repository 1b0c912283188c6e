"""One request to one engine, and what it means when that does not go well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp

from localllm.engine_client.client import EngineClient
from localllm.errors import EngineGone, LocalLLMError

_ERROR_BYTES = 1 << 16

_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
"""How a connection fails that the engine had closed: before the first byte of an answer."""


class Unreached(EngineGone):
    """Nothing of the request arrived, or it came to an engine that was ending already.

    So sending it again cannot end a second engine.
    """

    own_code = "engine_gone"


@asynccontextmanager
async def answer_of(
    client: EngineClient,
    path: str,
    body: bytes,
    refusal: Callable[[int, bytes], LocalLLMError],
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send, and once more on a fresh connection if the pooled one was dead.

    Leaving the block before the answer's end closes the connection, which makes llama.cpp
    stop generating.

    Raises:
        EngineGone: It cannot be reached, or ended before it said anything.
        LocalLLMError: It refused, as `refusal` reads it.
    """
    was_dying = client.may_be_dying
    try:
        answer = await _post(client, path, body)
    except (aiohttp.ClientError, OSError) as error:
        raise gone(Unreached if was_dying else EngineGone) from error
    async with answer:
        if answer.status != HTTPStatus.OK:
            try:
                said = await answer.content.read(_ERROR_BYTES)
            except aiohttp.ClientError as error:
                raise gone() from error
            raise refusal(answer.status, said)
        yield answer


async def _post(client: EngineClient, path: str, body: bytes) -> aiohttp.ClientResponse:
    try:
        return await client.post(path, body)
    except aiohttp.ClientConnectorError as error:
        raise gone(Unreached) from error
    except _LOST:
        return await client.post(path, body, fresh=True)


def gone(kind: type[EngineGone] = EngineGone) -> EngineGone:
    """Say that an answer has no end."""
    return kind(
        "The engine ended before its answer was complete.",
        why="its process died or closed the connection",
        fix="send the request again: the model restarts by itself; localllm logs says why it died",
    )
