"""The tokens of a prompt, by the engine's own template and tokenizer; nothing is generated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, TypeVar

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient

_TEMPLATE, _TOKENIZE = "/apply-template", "/tokenize"


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[Annotated[int, msgspec.Meta(ge=-1, lt=1 << 31)]]


async def count_chat_tokens(client: EngineClient, chat: Mapping[str, object]) -> int | None:
    """Count; None where the engine does not tell, or does not answer at all.

    Args:
        chat: A chat completion request; what of it makes the prompt counts.
    """
    tokens = await fetch_chat_tokens(client, msgspec.json.encode(chat))
    return None if tokens is None else len(tokens)


async def fetch_chat_tokens(client: EngineClient, chat: bytes) -> Sequence[int] | None:
    """Have a chat made a prompt, and cut; None as above.

    Source: llama.cpp, tools/server/README.md.
    """
    made = await _ask(client, _TEMPLATE, chat, _Prompt)
    return None if made is None else await fetch_text_tokens(client, made.prompt)


async def fetch_text_tokens(client: EngineClient, text: str) -> Sequence[int] | None:
    """Have a prompt that is a text cut into tokens; None as above."""
    asked = {"content": text, "add_special": True, "parse_special": True}
    cut = await _ask(client, _TOKENIZE, msgspec.json.encode(asked), _Tokens)
    return None if cut is None else cut.tokens


_Kind = TypeVar("_Kind")


async def _ask(client: EngineClient, path: str, body: bytes, kind: type[_Kind]) -> _Kind | None:
    """Ask; again on a connection of its own where a pooled one turns out dead."""
    for fresh in (False, True):
        try:
            async with client.post(path, body, fresh=fresh) as answer:
                if answer.status != HTTPStatus.OK:
                    return None
                return msgspec.json.decode(await answer.read(), type=kind)
        except msgspec.DecodeError:
            return None
        except (aiohttp.ClientError, OSError):
            continue
    return None
