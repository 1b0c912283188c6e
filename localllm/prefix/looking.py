"""Asks an engine what its slots hold, where that may be less than we think."""

from __future__ import annotations

import logging

from localllm.engine_client.slots import look_at_held
from localllm.prefix.crowding import cells_needed, find_emptied, is_crowded
from localllm.prefix.outline import Outline
from localllm.prefix.running import Run

_log = logging.getLogger(__name__)


async def look_at_crowded(run: Run, wanted: Outline) -> None:
    """Note what an engine has emptied by itself, if there may have been too little room."""
    cells = run.engine.cells
    if cells is None or not is_crowded(run.holdings, cells_needed(wanted), cells):
        return
    held = await look_at_held(run.engine.client)
    if held is None:
        return
    emptied = find_emptied(run.holdings, held)
    if emptied:
        _log.info("emptied by its engine: instance=%s slots=%s", run.engine.instance, emptied)
    run.empty(emptied)
