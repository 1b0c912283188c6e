"""Where requests wait for one instance, and who is with its engine. admission.py decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import anyio

from localllm.supervisor.admission import Admit, Ask, Hold, Room, Running, admit_next

_REMEMBERED_CLIENTS = 256


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place; kept in order of `ask.number` however often it is taken again."""

    ask: Ask
    admitted: bool = False
    turn: anyio.Event = field(default_factory=anyio.Event)
    """Set once it is admitted, or has to look again where it should wait."""


class Lobby:
    """Mutable, and owned by one instance.

    Args:
        numbers: The counter that requests get their numbers from, on arrival.
    """

    def __init__(self, room: Room, numbers: Iterator[int]) -> None:
        self.room = room
        self._numbers = numbers
        self.held_last = ""
        """Why somebody had to wait, the last time that somebody had to, in words."""

        self._waiting: dict[int, Ticket] = {}
        self._running: dict[int, Running] = {}
        self._served: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def held(self) -> str | None:
        """Why nobody who waits gets on, in words; None: nobody waits."""
        return self.held_last or None if self._waiting else None

    @property
    def running(self) -> int:
        return len(self._running)

    def enter(self, ask: Ask) -> Ticket:
        ticket = Ticket(ask)
        self._waiting[ask.number] = ticket
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place up: at the engine, or in the queue."""
        self._waiting.pop(ticket.ask.number, None)
        self._running.pop(ticket.ask.number, None)

    def pump(self, now: float) -> None:
        """Admit all who may go to the engine now."""
        while self._waiting:
            asks = [ticket.ask for ticket in self._waiting.values()]
            match admit_next(asks, [*self._running.values()], self.room, self._served, now):
                case Admit(number):
                    self._admit(self._waiting.pop(number))
                case Hold(why):
                    self.held_last = why
                    return

    def _admit(self, ticket: Ticket) -> None:
        ask = ticket.ask
        self._running[ask.number] = Running(ask.client, ask.tokens)
        self._served.pop(ask.client, None)
        self._served[ask.client] = next(self._numbers)  # the latest is last
        if len(self._served) > _REMEMBERED_CLIENTS:
            del self._served[next(iter(self._served))]
        ticket.admitted = True
        ticket.turn.set()

    def wake(self) -> None:
        """Have everybody who waits look again where to wait."""
        for ticket in [*self._waiting.values()]:
            ticket.turn.set()

    def correct(self, told: Sequence[int]) -> None:
        """Put what the engine tells of its slots in the place of the estimates.

        Args:
            told: Tokens of each request that it works on. Where it works on another number of
                them than were sent to it, this is a look in between, and tells nothing. Which
                is which it does not say: the longer is taken for the one estimated longer.
        """
        if len(told) != len(self._running):
            return
        by_estimate = sorted(self._running, key=lambda number: self._running[number].tokens)
        for number, tokens in zip(by_estimate, sorted(told), strict=True):
            self._running[number] = replace(self._running[number], tokens=tokens)
