"""Sends recorded traffic again: prompts of the same lengths with the same in common, when they came.

A request is sent when it is due, whatever has become of the others, unless turns are to wait for each
other. How late it was is noted. Asks the endpoint and the daemon alone, as every client may.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import anyio
import msgspec

from localllm.bench.arriving import events_of, shown_of
from localllm.bench.replay_plan import ReplayPlan, Turn
from localllm.bench.replay_prompts import COMPLETIONS, Prompts, Said
from localllm.bench.shooting import MOST_AT_ONCE, Target, shoot
from localllm.bench.shots import Arrival, Shown

Measure = Callable[[str], Awaitable[int | None]]
"""How many tokens a text is as a part of a prompt; None: nobody can tell."""


@dataclass(frozen=True, slots=True)
class Played:
    """One request of a pass."""

    turn: Turn
    shown: Shown
    due_s: float
    """When it was to be sent; `shown.sent_at` is when it was."""

    waited_s: float = 0.0
    """Of that, for the turn before: not its own lateness."""

    @property
    def late_s(self) -> float:
        return max(0.0, self.shown.sent_at - self.due_s - self.waited_s)


_NEAR = 0.1
_MOST_KEPT_BYTES = 128 << 20


class _Choice(msgspec.Struct):
    text: str = ""


class _Event(msgspec.Struct):
    choices: list[_Choice] = []


async def play(
    target: Target,
    plan: ReplayPlan,
    prompts: Prompts,
    *,
    rate: float,
    closed: bool,
    measure: Measure,
) -> list[Played]:
    """Send all of a plan once.

    Args:
        rate: How many times as fast as it was recorded.
        closed: A turn waits until the one before it is over, and then as long as it did when it was
            recorded, divided by the rate.
    """
    replay = _Pass(target, prompts, rate, measure, closed=closed)
    for turn in plan.turns:
        replay.over[turn.shape.id] = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for turn in plan.turns:
            if not (closed and turn.before is not None):
                await replay.wait_until(turn.at_s / rate)
            tasks.start_soon(replay.send, turn)
    return [replay.read(turn) for turn in plan.turns]


@dataclass(slots=True)
class _Pass:
    """Mutable, and used on the event loop alone."""

    target: Target
    prompts: Prompts
    rate: float
    measure: Measure
    closed: bool
    began: float = field(default_factory=time.perf_counter)
    over: dict[int, anyio.Event] = field(default_factory=dict[int, anyio.Event])
    room: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(MOST_AT_ONCE))
    _came: dict[int, tuple[Arrival | Shown, float]] = field(
        default_factory=dict[int, "tuple[Arrival | Shown, float]"]
    )
    _kept_bytes: int = 0

    async def wait_until(self, at_s: float) -> None:
        await anyio.sleep(max(0.0, at_s - self._now()))

    async def send(self, turn: Turn) -> None:
        try:
            waited_s = await self._wait_for_turn(turn)
            async with self.room:
                shot = self.prompts.shot_of(turn.shape)
                arrival = await shoot(self.target, shot, began=self.began)
            self._keep(turn, arrival, waited_s)
            await self._take_answer(turn, arrival)
        finally:
            self.over[turn.shape.id].set()

    def read(self, turn: Turn) -> Played:
        """Read what came of a request."""
        came, waited_s = self._came[turn.shape.id]
        shown = shown_of(came) if isinstance(came, Arrival) else came
        return Played(turn, shown, turn.at_s / self.rate, waited_s)

    async def _wait_for_turn(self, turn: Turn) -> float:
        """Wait for the turn before, where turns wait; return how long after its due time it is."""
        if not self.closed or turn.before is None:
            return 0.0
        due_s = turn.at_s / self.rate
        await self.over[turn.before].wait()
        await self.wait_until(max(due_s, self._now() + turn.pause_s / self.rate))
        return max(0.0, self._now() - due_s)

    def _keep(self, turn: Turn, arrival: Arrival, waited_s: float) -> None:
        """Keep it as it came while there is room: reading it takes time from what is measured.

        Not what was sent: the prompts of hours do not fit into memory.
        """
        self._kept_bytes += arrival.size_bytes
        is_much = self._kept_bytes > _MOST_KEPT_BYTES
        kept = replace(arrival, shot=replace(arrival.shot, body=b""))
        self._came[turn.shape.id] = (shown_of(kept) if is_much else kept, waited_s)

    async def _take_answer(self, turn: Turn, arrival: Arrival) -> None:
        """Have the next prompt go on from what was said."""
        shape = turn.shape
        if arrival.shot.path != COMPLETIONS or not self.prompts.is_gone_on_from(shape.id):
            return
        if text := _text_of(arrival):
            tokens = _believed(await self.measure(text), shape.output_length)
            self.prompts.answered(shape.id, Said(text, tokens))

    def _now(self) -> float:
        return time.perf_counter() - self.began


def _believed(measured: int | None, written: int) -> int:
    """Take what was measured, unless it is an estimate that is far off."""
    is_far = measured is None or abs(measured - written) > _NEAR * written + 2
    return written if is_far or measured is None else measured


def _text_of(arrival: Arrival) -> str:
    said = []
    for data in events_of(arrival):
        try:
            said += [choice.text for choice in msgspec.json.decode(data, type=_Event).choices]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # [DONE], or what the reading of the whole answer complains of
    return "".join(said)
