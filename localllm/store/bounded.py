"""Waits for what cannot be interrupted, such as a system that looks for a host's address."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")


def within(limit_s: float, ask: Callable[[], _T]) -> _T:
    """Call in a thread, and wait no longer than that; an answer that comes later is nobody's.

    Raises:
        TimeoutError: There was none in time.
    """
    answers: SimpleQueue[_T | BaseException] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put(ask())
        except BaseException as error:  # noqa: BLE001  # raised again, where it is waited for
            answers.put(error)

    threading.Thread(target=answer, daemon=True).start()
    try:
        found = answers.get(timeout=limit_s)
    except Empty:
        raise TimeoutError(f"no answer within {limit_s:.0f} s") from None
    if isinstance(found, BaseException):
        raise found
    return found
