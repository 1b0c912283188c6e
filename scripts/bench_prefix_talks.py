"""Conversations that go on, and what each turn read beyond what was new in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from bench_prefix_asking import NotAnswered, Reading, ask, count
from bench_prefix_shapes import (
    Conversation,
    Request,
    another_client,
    conversation,
    side_requests,
)

AT_MOST_TOKENS = 64
AT_MOST_RATIO = 0.1
TOKENS = f"<= {AT_MOST_TOKENS} again"
"""Where one token takes so long that time says nothing."""

WARM = f"{TOKENS}, <= {AT_MOST_RATIO} of cold"


class Served(Protocol):
    """Where conversations are held: a daemon, or an engine without one."""

    @property
    def name(self) -> str:
        """What requests call the model."""

    @property
    def port(self) -> int: ...

    @property
    def calls_tools(self) -> bool:
        """Whether its engine can."""

    def last_event(self) -> int: ...

    def start_s(self, seen: int) -> float:
        """How long engines took to start since an event; 0 where none did."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the report."""

    name: str
    agent: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    beyond_tokens: int | None = None
    """Read again: neither in the cache nor new; None where it was not measured."""

    first_s: float | None = None
    start_s: float = 0.0
    """Of `first_s`, what the engine took to start."""

    ratio: float | None = None
    """Of `first_s` without the engine's start to that of this conversation's first turn."""

    target: str = ""
    met: bool | None = None
    """None: it has no target."""

    note: str = ""

    @property
    def verdict(self) -> str:
        """In words; a miss in time alone may be the machine's mood."""
        if self.met is not False:
            return "met" if self.met else ""
        is_slow_alone = self.target == WARM and (self.beyond_tokens or 0) <= AT_MOST_TOKENS
        return "MISSED in time" if is_slow_alone and not self.unanswered else "MISSED"

    @property
    def unanswered(self) -> bool:
        return self.prompt_tokens is None


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation and its last answer."""

    conversation: Conversation
    last: Reading
    cold_s: float
    """Of its first turn."""


class Talks:
    """Every conversation of a run, by name."""

    def __init__(self, place: Served, scale: float, target: str = WARM) -> None:
        self._place = place
        self._target = target
        self._scale = scale
        self._talks: dict[str, Talk] = {}
        self._others = 0

    def begin(self, name: str, agent: str) -> Row:
        """Ask a conversation's first turn."""
        seed = len(self._talks)
        new = self._conversation(agent, self._place.name, seed=seed)
        return self._begin(name, new, f"first turn of {new.size_bytes} bytes")

    def begin_again(self, name: str, of: str, cc_version: str) -> Row:
        """Ask what a conversation began with once more, as a session with another first line."""
        known = self._talks[of]
        agent = known.conversation.agent
        seed = list(self._talks).index(of)
        new = self._conversation(agent, self._place.name, seed=seed, session=1)
        row = self._begin(name, new.billed(cc_version), "the same in a session with a billing line")
        ratio = (row.first_s or 0.0) / known.cold_s
        beyond = self._talks[name].last.read_tokens
        return self._judged(replace(row, beyond_tokens=beyond, ratio=ratio))

    def go_on(self, name: str, row: str) -> Row:
        """Ask the next turn, and say what of it was read again."""
        talk, seen = self._talks[name], self._place.last_event()
        words = f"Now do step {talk.conversation.turns + 1} of it, and tell what you found."
        following = talk.conversation.answered(talk.last.text, words)
        try:
            reading = ask(self._place.port, following.request)
        except NotAnswered as error:
            return Row(row, following.agent, target=self._target, met=False, note=str(error))
        self._talks[name] = Talk(following, reading, talk.cold_s)
        known = talk.last.prompt_tokens + talk.last.generated_tokens
        beyond = max(0, reading.read_tokens - max(0, reading.prompt_tokens - known))
        start_s = min(self._place.start_s(seen), reading.first_s)
        ratio = (reading.first_s - start_s) / talk.cold_s
        told = replace(_row(row, following, reading), start_s=start_s)
        return self._judged(replace(told, beyond_tokens=beyond, ratio=ratio))

    def in_between(self, name: str) -> None:
        """Have an agent ask what it asks by the way, and one other client something else."""
        for request in side_requests(self._talks[name].conversation):
            _ask_any(self._place.port, request)
        self._others += 1
        client = another_client(self._place.name, scale=self._scale, seed=self._others)
        ask(self._place.port, client)

    def elsewhere(self, model: str) -> None:
        """Have the other model read an agent's prompt."""
        asked = self._conversation("opencode", model, seed=1000)
        ask(self._place.port, asked.request)

    def _judged(self, row: Row) -> Row:
        ratio = (row.ratio or 0.0) if self._target == WARM else 0.0
        return replace(row, target=self._target, met=is_met(row.beyond_tokens or 0, ratio))

    def _conversation(self, agent: str, model: str, *, seed: int, session: int = 0) -> Conversation:
        new = conversation(agent, model, scale=self._scale, seed=seed, session=session)
        return new if self._place.calls_tools else new.without_tools()

    def _begin(self, name: str, new: Conversation, row: str) -> Row:
        reading = ask(self._place.port, new.request)
        self._talks[name] = Talk(new, reading, reading.first_s)
        return _row(row, new, reading)


def is_met(beyond_tokens: int, ratio: float) -> bool:
    return beyond_tokens <= AT_MOST_TOKENS and ratio <= AT_MOST_RATIO


def worst(name: str, rows: list[Row]) -> Row:
    """Of several turns, the one to show: it read too much again, or else it was the slowest."""

    def badness(row: Row) -> tuple[bool, bool, float]:
        too_much = (row.beyond_tokens or 0) > AT_MOST_TOKENS
        return row.beyond_tokens is None, too_much, row.ratio or 0.0

    most, missed = max(rows, key=badness), sum(row.met is False for row in rows)
    note = most.note or f"the worst of {len(rows)} turns, {missed} missed"
    return replace(most, name=name, met=missed == 0, note=note)


def _ask_any(port: int, request: Request) -> None:
    if "count_tokens" in request.path:
        count(port, request)
    else:
        ask(port, request)


def _row(name: str, of: Conversation, reading: Reading) -> Row:
    told = (reading.prompt_tokens, reading.cached_tokens)
    return Row(name, of.agent, *told, first_s=reading.first_s)
