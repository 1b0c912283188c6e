"""What one process of an engine holds, as far as prompts count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import anyio

from localllm.engine_client.client import EngineClient
from localllm.planning.prompt_keeping import Kept
from localllm.prefix.holding import Holding
from localllm.prefix.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Engine:
    """One run of an instance, which has a client of its own."""

    instance: str
    slots: int
    pins: bool
    """Whether a request can be sent to one of them; else the engine chooses."""

    kept: Kept
    key: str
    """Of all that a saved slot depends on."""

    model: str
    client: EngineClient
    cells: int | None = None
    """Tokens that all slots together can hold; None: each has its own, or nobody knows."""


@dataclass(slots=True)
class Placed:
    """Where a request went; who asked says what came of it."""

    slot: int
    prompt: Prompt
    tokens: int | None = None
    """Prompt and answer, as the engine counted; None: it did not come to its end."""


@dataclass(slots=True)
class Run:
    """Mutable, and used on the event loop alone; with `placing` held, one at a time chooses a slot."""

    engine: Engine
    holdings: list[Holding]
    idle_since: float
    bytes_per_token: float = 0.0
    """Of what was saved last; 0: nothing was."""

    placing: anyio.Lock = field(default_factory=anyio.Lock)
    """One at a time: a slot that is chosen is taken."""

    warming: anyio.Lock = field(default_factory=anyio.Lock)
    """One at a time: what is read ahead is known here, so that it can be stopped."""

    reading_ahead: anyio.CancelScope | None = None
    """What is read though nobody has asked for it yet."""

    users: int = 0
    """Requests that have come and are not done, those among them that have no slot yet, or none at all."""

    refused: set[str] = field(default_factory=set[str])
    """Ids of what the engine would not take, though it is as it was written."""

    @property
    def is_idle(self) -> bool:
        return not self.users

    @property
    def unsaved(self) -> Sequence[Holding]:
        return [
            one
            for one in self.holdings
            if one.is_worth_keeping and not one.is_saved and not one.is_busy
        ]

    def put(self, slot: int, **changes: object) -> None:
        self.holdings[slot] = replace(self.holdings[slot], **changes)  # type: ignore[arg-type]

    def give_up_saving(self) -> None:
        """Try nothing again that could not be saved."""
        for one in self.unsaved:
            self.put(one.slot, is_saved=True)

    def empty(self, slots: Iterable[int]) -> None:
        """Note that some hold nothing any more, or nobody knows what."""
        for slot in tuple(slots):
            self.holdings[slot] = replace(Holding(slot), used_at=self.holdings[slot].used_at)

    def stop_reading_ahead(self) -> None:
        """Have the engine free for who asks."""
        if self.reading_ahead is not None:
            self.reading_ahead.cancel()
