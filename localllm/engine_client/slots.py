"""What llama.cpp's server says of its slots, and what it does with them.

Who computes, and how much of the cache they use; what one holds is put into a file, taken from
there, or thrown away. Files are named only: the engine knows their folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import anyio
import msgspec

from localllm.engine_client.client import EngineClient

_PATH = "/slots"
_ANSWERS_WITHIN_S = 120.0
"""Gigabytes to a hard disk; a slot that works lets wait, too, until it has done so."""


class _Next(msgspec.Struct):
    n_decoded: int = 0


class _Slot(msgspec.Struct):
    """Source: server_slot::to_json in llama.cpp's tools/server; the counts are there while it works."""

    is_processing: bool
    id: int = 0
    n_prompt_tokens: int = 0
    """Of one that does not work: what it holds, the answer among it."""

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
    slots = await _ask(client)
    return None if slots is None else _read([slot for slot in slots if slot.is_processing])


async def look_at_held(client: EngineClient) -> Mapping[int, int] | None:
    """Ask how many tokens each slot that does not work holds; None where the engine does not tell."""
    slots = await _ask(client)
    if slots is None:
        return None
    return {slot.id: slot.n_prompt_tokens for slot in slots if not slot.is_processing}


async def _ask(client: EngineClient) -> Sequence[_Slot] | None:
    try:
        async with client.get(_PATH) as answer:
            if answer.status != HTTPStatus.OK:
                return None
            return msgspec.json.decode(await answer.read(), type=list[_Slot])
    except (aiohttp.ClientError, OSError, msgspec.DecodeError):
        return None


def _read(working: Sequence[_Slot]) -> Slots:
    written = [sum(part.n_decoded for part in slot.next_token) for slot in working]
    return Slots(
        tokens=tuple(s.n_prompt_tokens + w for s, w in zip(working, written, strict=True)),
        progress=sum(s.n_prompt_tokens_processed for s in working) + sum(written),
    )


class _Done(msgspec.Struct):
    """Source: server_task_result_slot_save_load and _erase in llama.cpp's tools/server."""

    n_saved: int = 0
    n_written: int = 0
    n_restored: int = 0
    n_erased: int | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What is in a file."""

    tokens: int
    size_bytes: int


async def save_slot(client: EngineClient, slot: int, name: str) -> Saved | None:
    """Have what a slot holds put into a file; one of that name is written over.

    Returns:
        None where it could not, or the slot holds nothing: then something may be left in the file,
        or come there yet.
    """
    done = await _do(client, slot, "save", {"filename": name})
    if done is None or not done.n_saved or not done.n_written:
        return None
    return Saved(done.n_saved, done.n_written)


async def restore_slot(client: EngineClient, slot: int, name: str) -> int | None:
    """Have a slot hold what is in a file, in place of what it does.

    The file is checked before: one that is cut off ends llama.cpp's whole process.

    Returns:
        Tokens; None where it could not: then the slot holds nothing any more.
    """
    done = await _do(client, slot, "restore", {"filename": name})
    return None if done is None else done.n_restored or None


async def erase_slot(client: EngineClient, slot: int) -> bool:
    """Have a slot hold nothing."""
    done = await _do(client, slot, "erase", {})
    return done is not None and done.n_erased is not None


async def _do(client: EngineClient, slot: int, what: str, body: dict[str, str]) -> _Done | None:
    """Ask for it; None where the engine refuses, cannot, or takes too long."""
    path = f"{_PATH}/{slot}?action={what}"
    with anyio.move_on_after(_ANSWERS_WITHIN_S):
        try:
            async with client.post(path, msgspec.json.encode(body), fresh=True) as answer:
                if answer.status == HTTPStatus.OK:
                    return msgspec.json.decode(await answer.read(), type=_Done)
        except (aiohttp.ClientError, OSError, msgspec.DecodeError):
            return None
    return None
