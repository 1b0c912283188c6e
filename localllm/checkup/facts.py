"""Facts that several checks need: each found once, in a thread of its own, and waited for until a deadline.

A driver, a file system or a daemon that hangs keeps its thread, and nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Fact(Generic[T]):
    """Something that is being found. Mutable: one thread writes it, once, before it is told."""

    find: Callable[[], T]
    deadline: float
    """On the monotonic clock."""

    failure: str | None = None
    """What went wrong in finding it: a bug of ours, mostly."""

    _value: T | None = None
    _told: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def get(self) -> T | None:
        """Wait for it; None if it is not known in time, or cannot be."""
        self._told.wait(max(0.0, self.deadline - monotonic()))
        return self._value

    @property
    def is_late(self) -> bool:
        """Whether nobody has told it yet."""
        return not self._told.is_set()

    def _run(self) -> None:
        try:
            self._value = self.find()
        except Exception as error:  # noqa: BLE001  # an edge: the rest is to be told all the same
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._told.set()
