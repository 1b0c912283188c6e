"""All requests: those that are under way, and the last of those that are over."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http import HTTPStatus

import anyio

from localllm.errors import LocalLLMError
from localllm.metrics.callers import Caller
from localllm.metrics.live import Api, Live

KEPT = 200
_LONGEST_NAME = 200
GONE = 499
"""The status of a request whose client has gone; nobody gets to see it. nginx's number."""


class Requests:
    """Mutable, and used on the event loop alone.

    Args:
        kept: Of those that are over.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: f"req_{secrets.token_hex(8)}",
        *,
        kept: int = KEPT,
    ) -> None:
        self.clock = clock
        self.when_one_ends: list[Callable[[Live], None]] = []
        """Told of each, once, in this order."""

        self.changes = 0
        """Grows whenever a request begins, gets on to another phase, or ends."""

        self._wall_clock = wall_clock
        self._new_id = new_id
        self._live: dict[str, Live] = {}
        self._recent: deque[Live] = deque(maxlen=kept)
        self._changed: anyio.Event | None = None

    def begin(self, api: Api, asked: str | None, caller: Caller, *, stream: bool) -> Live:
        """Note a request, which is then to be ended in any case: prefer `following`."""
        live = Live(
            id=self._new_id(),
            api=api,
            asked=None if asked is None else _plain(asked[:_LONGEST_NAME]),
            caller=caller,
            stream=stream,
            began=self.clock(),
            began_at=self._wall_clock(),
            clock=self.clock,
            told=self._told,
        )
        self._live[live.id] = live
        self._announce()
        return live

    @contextmanager
    def following(
        self, api: Api, asked: str | None, caller: Caller, *, stream: bool
    ) -> Generator[Live]:
        """Note a request, and end it with the block unless somebody has, by how the block ends."""
        live = self.begin(api, asked, caller, stream=stream)
        try:
            yield live
        except LocalLLMError as error:
            live.ended(error.http_status, error.code)
            raise
        except (anyio.get_cancelled_exc_class(), ConnectionError):
            live.ended(GONE, cancelled=True)
            raise
        except BaseException:
            live.ended(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error")
            raise
        finally:
            live.ended(HTTPStatus.OK)

    def live(self) -> tuple[Live, ...]:
        """Those under way, the oldest first."""
        return tuple(self._live.values())

    def recent(self) -> tuple[Live, ...]:
        """Those that are over, the newest first."""
        return tuple(reversed(self._recent))

    async def change_after(self, seen: int) -> int:
        """Wait until `changes` is another number than `seen`, and give it.

        Whoever is slow sees the newest state, and nothing is kept for them.
        """
        while self.changes == seen:
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()
        return self.changes

    def _told(self, live: Live) -> None:
        if live.is_over and self._live.pop(live.id, None) is not None:
            self._recent.append(live)
            for tell in self.when_one_ends:
                tell(live)
        self._announce()

    def _announce(self) -> None:
        self.changes += 1
        if self._changed is not None:
            self._changed.set()
            self._changed = None


def _plain(name: str) -> str:
    """Replace halves of characters, which JSON can hold, and no file."""
    return name.encode("utf-8", "replace").decode()
