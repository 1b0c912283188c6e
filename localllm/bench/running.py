"""Carries a bench out: point after point, up and down again, so that a slow minute hits all alike.

Between volleys the daemon is asked how all is; while requests are under way nothing is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec

import anyio

from localllm.api.now_views import NowView
from localllm.api.sync_client import DaemonClient
from localllm.bench.errors import NothingMeasured
from localllm.bench.figures import Heap, Volley
from localllm.bench.points import Point
from localllm.bench.prompts import Prompter
from localllm.bench.shooting import Target, shoot_all
from localllm.bench.shots import Shot, Shown
from localllm.bench.watching import device_memory_bytes, energy_between, foreign

_WARM_UP_ANSWER, _WARM_UP_PROMPT = 4, 32
_PER_LANE = 2
"""Requests of each of those that ask at once, so that they do not stay in step."""


@dataclass(slots=True)
class Bench:
    """One run. Mutable: what was measured is here, also when it is broken off.

    Args:
        tell: Told what is being measured.
    """

    client: DaemonClient
    target: Target
    instance: str
    prompter: Prompter
    points: Sequence[Point]
    repeat: int
    tell: Callable[[str], None]
    heaps: list[Heap] = field(default_factory=list[Heap])
    looks: list[NowView] = field(default_factory=list[NowView])
    others: dict[str, str] = field(default_factory=dict[str, str])
    """Requests of others meanwhile: by id, who asked."""

    _ours: set[str] = field(default_factory=set[str])
    """Ids of all that was asked here."""

    def run(self) -> None:
        """Measure all.

        Raises:
            NothingMeasured: The first request was not answered.
            LocalLLMError: The daemon has gone.
        """
        self.heaps = [Heap(point) for point in self.points]
        self.looks.append(self._look())
        steps = [*self._passes()]
        for number, (heap, repeats) in enumerate(steps):
            self.tell(f"{number + 1} of {len(steps)}: {_named(heap.point)}")
            self._measure(heap, repeats, number)

    def _passes(self) -> Iterator[tuple[Heap, int]]:
        """Half of the repeats on the way up, the others on the way down."""
        up = (self.repeat + 1) // 2
        for heap in self.heaps:
            yield heap, up
        if self.repeat > up:
            for heap in reversed(self.heaps):
                yield heap, self.repeat - up

    def _measure(self, heap: Heap, repeats: int, number: int) -> None:
        before, began = self.looks[-1], time.time()
        measuring = self._crowd if heap.point.at_once > 1 else self._single
        since = len(heap.volleys)
        for volley in measuring(heap.point, repeats, f"{number}"):
            heap.volleys.append(volley)
        now = self._look()
        self.looks.append(now)
        model = next((m.view for m in now.models if m.view.instance == self.instance), None)
        heap.memory_bytes = heap.memory_bytes if model is None else model.memory.resident
        heap.device_memory_bytes = device_memory_bytes(now)
        wall_s = sum(volley.wall_s for volley in heap.volleys[since:])
        if (used := energy_between(before, now, wall_s)) is not None:
            heap.energy_j = (heap.energy_j or 0.0) + used
        met = foreign(self.client.requests(), self._ours, began, time.time())
        heap.foreign += len(met)
        self.others.update({one.id: one.client for one in met})

    def _single(self, point: Point, repeats: int, name: str) -> Iterator[Volley]:
        """One request after the other: each reads what is new to it, behind what fills the context."""
        if not point.is_warm:
            self._warm_up(point, name)
            for n in range(repeats):
                yield self._volley([self.prompter.cold(point, f"{name}.{n}")], 1)
            return
        filling = self.prompter.filling(point, name)
        _require(self._volley([self.prompter.fill(filling, name)], 1).shown)
        for n in range(repeats):
            yield self._volley([self.prompter.going_on(filling, point, f"{name}.{n}")], 1)

    def _crowd(self, point: Point, repeats: int, name: str) -> Iterator[Volley]:
        """Several at once, each of which asks again as soon as it is answered."""
        self._warm_up(point, name)
        each = range(point.at_once * _PER_LANE)
        for n in range(repeats):
            shots = [self.prompter.cold(point, f"{name}.{n}.{lane}") for lane in each]
            yield self._volley(shots, point.at_once)

    def _warm_up(self, point: Point, name: str) -> None:
        """Pay for what is done but once: a little of the same, which does not count."""
        short = replace(
            point,
            depth_tokens=0,
            prompt_tokens=min(point.prompt_tokens, _WARM_UP_PROMPT),
            answer_tokens=min(point.answer_tokens, _WARM_UP_ANSWER),
        )
        lanes = range(point.at_once)
        shots = [self.prompter.cold(short, f"{name}.warm-up.{lane}") for lane in lanes]
        _require(self._volley(shots, point.at_once).shown)

    def _volley(self, shots: Sequence[Shot], at_once: int) -> Volley:
        cpu, wall = time.process_time(), time.perf_counter()
        shown = anyio.run(_shoot, self.target, shots, at_once, backend_options=_OPTIONS)
        self._ours.update(one.request for one in shown if one.request is not None)
        return Volley(shown, time.perf_counter() - wall, time.process_time() - cpu)

    def _look(self) -> NowView:
        return self.client.now(recent=0)


async def _shoot(target: Target, shots: Sequence[Shot], at_once: int) -> list[Shown]:
    return await shoot_all(target, shots, at_once=at_once)


_OPTIONS = {"use_uvloop": find_spec("uvloop") is not None}
"""There is none on PyPy."""


def _require(shown: Sequence[Shown]) -> None:
    failed = next((one.error for one in shown if one.error is not None), None)
    if failed is not None:
        raise NothingMeasured(
            "The model does not answer.",
            why=failed,
            fix="localllm status, localllm logs; a model that embeds or ranks writes no answers",
        )


def _named(point: Point) -> str:
    if point.at_once > 1:
        return f"{point.at_once} requests at once"
    if not point.depth_tokens:
        return f"one request, {point.prompt_tokens:,} tokens"
    kind = "in the cache" if point.is_warm else "read anew"
    return f"one request, {point.depth_tokens:,} tokens {kind} and {point.prompt_tokens:,} new"
