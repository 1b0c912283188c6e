"""What a slot holds, put on disk and taken from there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engine_client.read_ahead import PATHS
from localllm.engine_client.slots import restore_slot, save_slot
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.running import Run
from localllm.prefix.shelf import Made, Shelf

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")

MOST_TEXT_BYTES = 8 << 20
"""Of a request; more are images, mostly."""

_IS_THERE_WITHIN_S = 5.0
_ALL = 0.9
"""Of what we think that a slot holds; with less, it holds something else by now."""


async def save(shelf: Shelf, run: Run, holding: Holding) -> None:
    """Have the engine write a slot and take the file in, or keep the request that it came with."""
    run.put(holding.slot, is_saved=True)  # tried once: a disk that is full stays so for now
    if holding.is_saved:
        return
    try:
        saving = _save_slot if run.engine.kept is Kept.SAVED else _save_text
        entry = await saving(shelf, run, holding)
    except BaseException:  # the client has gone, for which the slot was to be made free
        run.put(holding.slot, is_saved=False)
        raise
    run.put(holding.slot, prompt=None)  # it may be megabytes
    if entry is None:
        _log.info("not kept: instance=%s tokens=%d", run.engine.instance, holding.tokens)


async def put_back(shelf: Shelf, run: Run, slot: int, entry: Entry) -> bool:
    """Put what is on disk into a slot, whose own was saved; an engine dies of half a file.

    What an engine does not take is not tried again while it runs. Where it dies of one, all that
    is like it goes, so that it does not die again; one that is gone already says nothing.
    """
    client = run.engine.client
    if not await on_disk(lambda: shelf.check(entry)) or not await _is_there(client):
        return False
    run.put(slot, outline=None, tokens=0, conversation=None, is_saved=True)
    tokens = await restore_slot(client, slot, entry.file)
    if tokens is None or tokens < _ALL * entry.tokens:  # then nobody knows what is there
        run.refused.add(entry.id)
        if not await _is_there(client):
            _log.warning("an engine died of a saved prompt: instance=%s", run.engine.instance)
            await on_disk(lambda: shelf.distrust(entry.key))
        return False
    run.put(slot, outline=entry.outline, tokens=tokens, used_at=run.idle_since)
    return True


async def _is_there(client: EngineClient) -> bool:
    with anyio.move_on_after(_IS_THERE_WITHIN_S):
        return await client.is_healthy()
    return False


async def _save_slot(shelf: Shelf, run: Run, holding: Holding) -> Entry | None:
    estimate = int(run.bytes_per_token * holding.tokens)
    if not await on_disk(lambda: shelf.has_room(estimate)):
        return None
    name = await on_disk(shelf.new_file)
    made = _made(run, holding)
    try:
        saved = await save_slot(run.engine.client, holding.slot, name)
    except BaseException:
        shelf.abandon(name)  # the engine may write it all the same, or only now
        raise
    if saved is None:
        shelf.abandon(name)  # it may have taken too long, and be written yet
        await on_disk(lambda: shelf.give_up(name))
        return None
    run.bytes_per_token = saved.size_bytes / saved.tokens
    is_all = saved.tokens >= _ALL * holding.tokens
    size_bytes = saved.size_bytes if is_all else None
    return await on_disk(lambda: shelf.take_in(name, made, written_bytes=size_bytes))


async def _save_text(shelf: Shelf, run: Run, holding: Holding) -> Entry | None:
    prompt = holding.prompt
    if prompt is None or prompt.path not in PATHS or len(prompt.body) > MOST_TEXT_BYTES:
        return None
    made = _made(run, holding, prompt.path)
    return await on_disk(lambda: shelf.take_in_text(prompt.body, made))


def _made(run: Run, holding: Holding, path: str | None = None) -> Made:
    assert holding.outline is not None, "it is worth keeping"
    return Made(run.engine.key, run.engine.model, holding.outline, holding.tokens, path)


async def on_disk(done: Callable[[], _Done]) -> _Done:
    """Have it done in a thread; a disk that hangs holds nobody up who is told to end."""
    return await anyio.to_thread.run_sync(done, abandon_on_cancel=True)
