"""The first requests to a model that embeds or reranks: that it answers, and how fast it reads."""

from __future__ import annotations

import time
from http import HTTPStatus

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient, Speed, WarmUpFailed

EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"
_TEXT = "What models can be kept on this machine, how large is each of them, and who asked for it? "
_BODIES = {
    EMBEDDINGS: {"input": _TEXT * 3},
    RERANK: {"query": _TEXT, "documents": [_TEXT * 2]},
}


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Answer(msgspec.Struct):
    usage: _Usage


async def warm_up_texts(client: EngineClient, path: str) -> Speed:
    """Have a text read twice, since the first time pays for what is done but once.

    Raises:
        WarmUpFailed: The engine refused, or its answer has no figures.
    """
    await _timed(client, path)
    return await _timed(client, path)


async def _timed(client: EngineClient, path: str) -> Speed:
    begun = time.monotonic()
    try:
        async with client.post(path, msgspec.json.encode(_BODIES[path]), fresh=True) as answer:
            text = await answer.read()
    except aiohttp.ClientError as error:
        raise WarmUpFailed(f"the engine closed the connection ({error})") from error
    if answer.status != HTTPStatus.OK:
        raise WarmUpFailed(f"status {answer.status}: {text[:200].decode(errors='replace')}")
    try:
        read_tokens = msgspec.json.decode(text, type=_Answer).usage.prompt_tokens
    except msgspec.DecodeError as error:
        raise WarmUpFailed(f"an answer without usage ({error})") from error
    spent_s = max(time.monotonic() - begun, 0.001)
    return Speed(read_tokens / spent_s, None, read_tokens)
