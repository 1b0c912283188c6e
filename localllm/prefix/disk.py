"""Has the disk asked in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio

_Done = TypeVar("_Done")


async def on_disk(done: Callable[[], _Done]) -> _Done:
    """Have it done in a thread; a disk that hangs holds nobody up who is told to end."""
    return await anyio.to_thread.run_sync(done, abandon_on_cancel=True)
