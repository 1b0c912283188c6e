"""Compares the engines that can serve one model here: started in turn, several times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec

from localllm.api.views import ServeRequest
from localllm.engines.base import Engine, Serving
from localllm.engines.bench import Pace, measure
from localllm.engines.bench_file import Benched, write_benched
from localllm.engines.short_run import RunFailed
from localllm.errors import EngineUnusable, LocalLLMError, ModelNotFound
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned, require_fit, serving_of

CONTEXT = 2048
"""Enough for what is asked, and the same for all."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """One engine with the model's plan for it."""

    engine: Engine
    planned: Planned
    serving: Serving


@dataclass(frozen=True, slots=True)
class Left:
    """An engine that is not compared, and why."""

    engine: str
    why: str


def entrants(desk: Desk, request: ServeRequest) -> tuple[list[Entrant], list[Left]]:
    """Plan the model for every engine; those that cannot serve it are left out."""
    taken: list[Entrant] = []
    left: list[Left] = []
    for engine in desk.engine_desk.engines(desk.environment):
        asked = msgspec.structs.replace(request, engine=engine.name, context=CONTEXT, parallel=1)
        try:
            planned = desk.plan(asked)
            require_fit(planned)
        except ModelNotFound:
            raise  # of all of them alike
        except LocalLLMError as error:
            left.append(Left(engine.name, f"{error.what} {error.why}"))
        else:
            taken.append(Entrant(engine, planned, serving_of(planned, silence_s=60.0)))
    return taken, left


def bench(
    desk: Desk,
    request: ServeRequest,
    rounds: int,
    tell: Callable[[str, Pace | str], None] = lambda *_: None,
) -> tuple[Sequence[Benched], Sequence[Left]]:
    """Measure every engine in turn, `rounds` times over, and keep the medians for the planner.

    Args:
        tell: Called with an engine's name and what a round gave, or why it failed.

    Raises:
        EngineUnusable: No engine can serve the model.
        LocalLLMError: There is no such model.
    """
    taken, left = entrants(desk, request)
    paces: dict[str, list[Pace]] = {}
    for number, entrant in _in_turn(taken, rounds):
        name = entrant.engine.name
        if number and name not in paces:
            continue  # it failed before
        try:
            installed = entrant.planned.choice.installed
            pace = measure(entrant.engine, installed, entrant.serving, desk.environment)
        except RunFailed as failed:
            left.append(Left(name, str(failed)))
            tell(name, str(failed))
            paces.pop(name, None)
            continue
        paces.setdefault(name, []).append(pace)
        tell(name, pace)
    benched = [
        _benched(entrant, paces[n]) for entrant in taken if (n := entrant.engine.name) in paces
    ]
    if not benched:
        raise EngineUnusable(
            "No engine here can serve this model.",
            why="; ".join(f"{one.engine}: {one.why}" for one in left),
            fix="localllm engine list",
        )
    write_benched(desk.paths.bench, benched)
    return benched, left


def _in_turn(taken: Sequence[Entrant], rounds: int) -> Iterator[tuple[int, Entrant]]:
    """Every engine once, then again the other way round, so that a slow minute hits them alike."""
    for number in range(rounds):
        for entrant in reversed(taken) if number % 2 else taken:
            yield number, entrant


def _benched(entrant: Entrant, paces: Sequence[Pace]) -> Benched:
    planned = entrant.planned
    return Benched(
        engine=entrant.engine.name,
        version=planned.choice.installed.version,
        device=planned.device_name,
        model=f"{planned.stored.id} {planned.header.quantization or ''}".strip(),
        prefill_tps=median(pace.prefill_tps for pace in paces),
        decode_tps=median(pace.decode_tps for pace in paces),
        at=time.time(),
    )
