"""How many tokens a chat would have, by the engine's own template and tokenizer; nothing is generated."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient

_TEMPLATE, _TOKENIZE = "/apply-template", "/tokenize"


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


async def count_chat_tokens(client: EngineClient, chat: Mapping[str, object]) -> int | None:
    """Count; None where the engine does not tell, or does not answer at all.

    Args:
        chat: A chat completion request; what of it makes the prompt counts.

    Source: llama.cpp, tools/server/README.md.
    """
    made = await _ask(client, _TEMPLATE, chat, _Prompt)
    if made is None:
        return None
    text = {"content": made.prompt, "add_special": True, "parse_special": True}
    cut = await _ask(client, _TOKENIZE, text, _Tokens)
    return None if cut is None else len(cut.tokens)


_Kind = TypeVar("_Kind")


async def _ask(
    client: EngineClient, path: str, body: Mapping[str, object], kind: type[_Kind]
) -> _Kind | None:
    try:
        async with client.post(path, msgspec.json.encode(body)) as answer:
            if answer.status != HTTPStatus.OK:
                return None
            return msgspec.json.decode(await answer.read(), type=kind)
    except (aiohttp.ClientError, OSError, msgspec.DecodeError):
        return None
