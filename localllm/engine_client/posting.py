"""Posts one document to an engine and takes the answer as it is, whatever its status."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient


class BrokeOff(Exception):
    """There was no answer, or no end of it; the text says how."""


async def post_document(
    client: EngineClient, path: str, body: Mapping[str, object]
) -> tuple[int, bytes]:
    """Post it on a connection of its own; return the status and the whole answer.

    Raises:
        BrokeOff: The engine has ended, or does not answer to the end.
    """
    try:
        async with client.post(path, msgspec.json.encode(body), fresh=True) as answer:
            return answer.status, await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        raise BrokeOff(f"the engine closed the connection ({error})") from error
