"""What holds however clients come, ask and go: nobody is crowded out, nothing overflows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.supervisor.admission import Admit, Ask, Room, Running, admit_next

CLIENTS = "abcd"
CONTEXT, LONG = 100, 30
ROOMS = st.builds(
    Room,
    slots=st.integers(1, 4),
    context=st.just(CONTEXT),
    share=st.sampled_from([0.5, 0.85, 1.0]),
    long_tokens=st.just(LONG),
    patience_s=st.sampled_from([0.0, 3.0, 20.0]),
)
TOKENS = st.integers(1, 2 * CONTEXT)


@dataclass
class House:
    """An engine and those who ask it: carries out what is decided, and checks every time."""

    room: Room
    now: float = 0.0
    counter: int = 0
    waiting: list[Ask] = field(default_factory=list[Ask])
    running: dict[int, Running] = field(default_factory=dict[int, Running])
    served: dict[str, int] = field(default_factory=dict[str, int])
    passed: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """By a client that waits with a short prompt and has nothing running: others' turns."""

    def count(self) -> int:
        self.counter += 1
        return self.counter

    def arrive(self, client: str, tokens: int) -> None:
        self.waiting.append(Ask(self.count(), client, tokens, self.now))
        self.pump()

    def finish(self, which: int) -> None:
        if self.running:
            del self.running[[*self.running][which % len(self.running)]]
        self.now += 1.0
        self.pump()

    def grow(self, which: int, tokens: int) -> None:
        """Have the engine tell that a request holds more than was estimated."""
        if self.running:
            number = [*self.running][which % len(self.running)]
            one = self.running[number]
            self.running[number] = Running(one.client, max(one.tokens, tokens))

    def pump(self) -> None:
        while True:
            running = [*self.running.values()]
            decision = admit_next(self.waiting, running, self.room, self.served, self.now)
            if not isinstance(decision, Admit):
                break
            (ask,) = (one for one in self.waiting if one.number == decision.number)
            self.check_room(ask)
            self.check_order(ask)
            self.check_turns(ask)
            self.waiting.remove(ask)
            self.running[ask.number] = Running(ask.client, ask.tokens)
            self.served[ask.client] = self.count()
        assert self.running or not self.waiting, "an idle engine and somebody who waits"

    def has_room_for(self, ask: Ask) -> bool:
        used = sum(one.tokens for one in self.running.values())
        return not self.running or used + ask.tokens <= self.room.context

    def check_room(self, ask: Ask) -> None:
        assert len(self.running) < self.room.slots
        used = sum(one.tokens for one in self.running.values())
        fits = used + ask.tokens <= self.room.share * self.room.context
        assert fits or ask.tokens < self.room.long_tokens or not self.running
        assert self.has_room_for(ask), "an engine without room fails all that run"

    def check_order(self, ask: Ask) -> None:
        for other in self.waiting:
            may_wait = other.tokens >= self.room.long_tokens or not self.has_room_for(other)
            is_overdue = may_wait and self.now - other.since >= self.room.patience_s
            if other.number < ask.number and other.client == ask.client:
                assert may_wait
                assert not is_overdue
                assert ask.tokens < self.room.long_tokens
            if other.number < ask.number and is_overdue:
                assert self.served.get(other.client, 0) > ask.number, "had its turn meanwhile"

    def check_turns(self, ask: Ask) -> None:
        """Nobody has two turns while somebody waits who lacks nothing but a slot."""
        busy = {one.client for one in self.running.values()}
        short = [one for one in self.waiting if one.tokens < LONG and self.has_room_for(one)]
        patient = {one.client for one in short} - busy - {ask.client}
        self.passed = {client: self.passed.get(client, Counter()) for client in patient}
        for client, turns in self.passed.items():
            turns[ask.client] += 1
            assert turns[ask.client] == 1, f"{ask.client} passed {client} twice"


def happen(house: House, data: st.DataObject) -> None:
    what = data.draw(st.sampled_from(["arrives", "arrives", "ends", "ends", "grows"]))
    if what == "arrives":
        house.arrive(data.draw(st.sampled_from(CLIENTS)), data.draw(TOKENS))
    elif what == "ends":
        house.finish(data.draw(st.integers(0, 3)))
    else:
        house.grow(data.draw(st.integers(0, 3)), data.draw(TOKENS))


@given(ROOMS, st.data(), st.integers(1, 30))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_nothing_overflows_no_order_is_broken_and_nobody_is_passed_twice(
    room: Room, data: st.DataObject, steps: int
) -> None:
    house = House(room)

    for _ in range(steps):
        happen(house, data)


@given(
    ROOMS,
    st.lists(st.tuples(st.sampled_from(CLIENTS), TOKENS), min_size=1, max_size=12),
    st.lists(st.tuples(st.sampled_from([*CLIENTS, "new"]), TOKENS), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_everybody_is_admitted_after_finitely_many_ends_though_others_keep_coming(
    room: Room,
    first: list[tuple[str, int]],
    flood: list[tuple[str, int]],
    ends: list[int],
) -> None:
    """At every end one more comes, of the clients that wait or of one never seen before."""
    house = House(room)
    for client, tokens in first:
        house.arrive(client, tokens)
    numbers = {ask.number for ask in house.waiting}
    clients = len(CLIENTS) + len(house.waiting)
    bound = int(room.patience_s) + room.slots + clients * (len(numbers) + 1) * (room.slots + 1)

    for end in range(bound):
        client, tokens = flood[end % len(flood)]
        house.arrive(f"{client}{end}" if client == "new" else client, tokens)
        house.finish(ends[end % len(ends)])

    assert not numbers & {ask.number for ask in house.waiting}


@given(st.lists(st.integers(1, LONG - 1), min_size=2, max_size=5), st.integers(1, 30))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_clients_that_ask_all_the_time_have_as_many_turns_to_within_one(
    tokens: list[int], rounds: int
) -> None:
    house = House(Room(1, CONTEXT, 0.85, LONG, patience_s=5.0))
    house.arrive("somebody before them", 1)
    for client, size in enumerate(tokens):
        for _ in range(rounds):
            house.arrive(f"client {client}", size)
    turns = Counter({ask.client: 0 for ask in house.waiting})

    for _ in range(rounds):
        house.finish(0)
        (running,) = house.running.values()
        turns[running.client] += 1

    assert max(turns.values()) - min(turns.values()) <= 1
