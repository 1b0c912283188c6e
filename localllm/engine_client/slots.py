"""What llama.cpp's server says of its slots: who computes, and how much of the cache they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import msgspec

from localllm.engine_client.client import EngineClient

_PATH = "/slots"


class _Next(msgspec.Struct):
    n_decoded: int = 0


class _Slot(msgspec.Struct):
    """Source: server_slot::to_json in llama.cpp's tools/server; the counts are there while it works."""

    is_processing: bool
    n_prompt_tokens: int = 0
    n_prompt_tokens_processed: int = 0
    next_token: list[_Next] = []


@dataclass(frozen=True, slots=True)
class Slots:
    """One look."""

    tokens: tuple[int, ...]
    """Of each slot that works: its prompt's and its answer's, which the cache has to hold."""

    progress: int
    """Grows as they get on: tokens that were read and written."""


async def look_at_slots(client: EngineClient) -> Slots | None:
    """Ask; None where the engine does not tell, or does not answer at all."""
    try:
        async with client.get(_PATH) as answer:
            if answer.status != HTTPStatus.OK:
                return None
            slots = msgspec.json.decode(await answer.read(), type=list[_Slot])
    except (aiohttp.ClientError, OSError, msgspec.DecodeError):
        return None
    return _read([slot for slot in slots if slot.is_processing])


def _read(working: Sequence[_Slot]) -> Slots:
    written = [sum(part.n_decoded for part in slot.next_token) for slot in working]
    return Slots(
        tokens=tuple(s.n_prompt_tokens + w for s, w in zip(working, written, strict=True)),
        progress=sum(s.n_prompt_tokens_processed for s in working) + sum(written),
    )
