"""What a slot holds, put on disk and taken from there."""

from __future__ import annotations

import logging

import anyio

from localllm.engine_client.slots import restore_slot, save_slot
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.running import Run
from localllm.prefix.shelf import Made, Shelf

_log = logging.getLogger(__name__)

_MOST_TEXT_BYTES = 8 << 20
"""Of a request; more are images, mostly."""


async def save(shelf: Shelf, run: Run, holding: Holding) -> None:
    """Have the engine write a slot and take the file in, or keep the request that it came with."""
    run.put(holding.slot, is_saved=True)  # tried once: a disk that is full stays so for now
    if holding.is_saved:
        return
    if run.engine.kept is Kept.SAVED:
        entry = await _save_slot(shelf, run, holding)
    else:
        entry = await _save_text(shelf, run, holding)
    if entry is None:
        _log.info("not kept: instance=%s tokens=%d", run.engine.instance, holding.tokens)


async def put_back(shelf: Shelf, run: Run, slot: int, entry: Entry) -> bool:
    """Put what is on disk into a slot, whose own was saved; an engine dies of half a file."""
    if not await anyio.to_thread.run_sync(shelf.check, entry):
        return False
    tokens = await restore_slot(run.engine.client, slot, entry.file)
    if tokens is None:  # then the slot is empty
        run.put(slot, outline=None, tokens=0, is_saved=True)
        await anyio.to_thread.run_sync(shelf.remove, entry.id)
        return False
    run.put(slot, outline=entry.outline, tokens=tokens, conversation=None, is_saved=True)
    return True


async def _save_slot(shelf: Shelf, run: Run, holding: Holding) -> Entry | None:
    estimate = int(run.bytes_per_token * holding.tokens)
    if not await anyio.to_thread.run_sync(shelf.has_room, estimate):
        return None
    name = await anyio.to_thread.run_sync(shelf.new_file)
    made = _made(run, holding)
    written = await save_slot(run.engine.client, holding.slot, name)
    entry = await anyio.to_thread.run_sync(
        lambda: shelf.take_in(name, made, written_bytes=written),
        abandon_on_cancel=True,  # a disk that hangs holds nobody up
    )
    if entry is not None:
        run.bytes_per_token = entry.size_bytes / entry.tokens
    return entry


async def _save_text(shelf: Shelf, run: Run, holding: Holding) -> Entry | None:
    prompt = holding.prompt
    if prompt is None or len(prompt.body) > _MOST_TEXT_BYTES:
        return None
    made = _made(run, holding, prompt.path)
    return await anyio.to_thread.run_sync(
        lambda: shelf.take_in_text(prompt.body, made), abandon_on_cancel=True
    )


def _made(run: Run, holding: Holding, path: str | None = None) -> Made:
    assert holding.outline is not None, "it is worth keeping"
    return Made(run.engine.key, run.engine.model, holding.outline, holding.tokens, path)
