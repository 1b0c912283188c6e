"""What a slot holds, put on disk and taken from there."""

from __future__ import annotations

import logging

import anyio

from localllm.engine_client.client import EngineClient
from localllm.engine_client.slots import restore_slot, save_slot
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.disk import on_disk
from localllm.prefix.entries import Entry
from localllm.prefix.holding import Holding
from localllm.prefix.running import Run
from localllm.prefix.settling import Written
from localllm.prefix.shelf import Made, Shelf

_log = logging.getLogger(__name__)

_IS_THERE_WITHIN_S = 5.0
_ALL = 0.9
"""Of what we think that a slot holds; with less, it holds something else by now."""


async def write(shelf: Shelf, run: Run, holding: Holding) -> Written | None:
    """Have the engine write what a slot holds, or write the request that it came with.

    Returns:
        A file that is to be taken in; None where there is none.
    """
    writing = _write_slot if run.engine.kept is Kept.SAVED else _write_text
    written = await writing(shelf, run, holding)
    run.put(holding.slot, prompt=None)  # it may be megabytes
    if written is None:
        _log.info("not kept: instance=%s tokens=%d", run.engine.instance, holding.tokens)
    return written


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


async def _write_slot(shelf: Shelf, run: Run, holding: Holding) -> Written | None:
    estimate = int(run.bytes_per_token * holding.tokens)
    if not await on_disk(lambda: shelf.has_room(estimate)):
        return None
    name = await on_disk(shelf.new_file)
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
    made = _made(run, holding)
    return Written(run.engine.instance, name, made, saved.size_bytes if is_all else None)


async def _write_text(shelf: Shelf, run: Run, holding: Holding) -> Written | None:
    prompt = holding.prompt
    if prompt is None:
        return None
    name = await on_disk(lambda: shelf.write_text(prompt.body))
    if name is None:
        return None
    made = _made(run, holding, prompt.path)
    return Written(run.engine.instance, name, made, len(prompt.body))


def _made(run: Run, holding: Holding, path: str | None = None) -> Made:
    assert holding.outline is not None, "it is worth keeping"
    return Made(run.engine.key, run.engine.model, holding.outline, holding.tokens, path)
