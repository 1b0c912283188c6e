"""How often the prefix of each program's prompts was broken, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from localllm.api.parting_views import BreakView, PartingsView, PartingView, ProgramView
from localllm.metrics.callers import OTHER
from localllm.metrics.live import Live
from localllm.prefix.mending import describe, fix_of
from localllm.prefix.parting import Parting

MOST_PROGRAMS = 32
"""Names are the clients' to choose: those beyond are counted as one."""

MOST_PLACES = 8


@dataclass(slots=True)
class _Program:
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    breaks: int = 0
    headers_removed: int = 0
    places: dict[tuple[str, str], BreakView] = field(
        default_factory=dict[tuple[str, str], BreakView]
    )
    """By part and kind, the one seen last at the end."""


class ProgramPartings:
    """Mutable, and bounded.

    Args:
        wall_clock: Unix seconds.
    """

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._programs: dict[str, _Program] = {}
        """The one seen last at the end."""

    def count(self, live: Live, model: str, parting: PartingView | None) -> None:
        """Count a request that is over, and did not fail."""
        program = self._seen(live.caller.program_name)
        program.requests += 1
        program.headers_removed += bool(live.removed)
        if live.prompt_tokens is not None and live.cached_tokens is not None:
            program.prompt_tokens += live.prompt_tokens
            program.cached_tokens += min(live.cached_tokens, live.prompt_tokens)
        if parting is not None:
            program.breaks += 1
            self._broke(program, live, model, parting)

    def view(self) -> PartingsView:
        programs = [_view_of(name, one) for name, one in self._programs.items()]
        return PartingsView(programs=programs[::-1])

    def _seen(self, name: str) -> _Program:
        if name not in self._programs and len(self._programs) >= MOST_PROGRAMS - 1:
            name = OTHER
        program = self._programs.pop(name, _Program())
        self._programs[name] = program
        return program

    def _broke(self, program: _Program, live: Live, model: str, parting: PartingView) -> None:
        key = parting.part, parting.kind
        known = program.places.pop(key, None)
        times, again = (0, 0) if known is None else (known.times, known.again)
        program.places[key] = BreakView(
            times=times + 1,
            last=self._wall_clock(),
            request=live.id,
            model=model,
            again=again + (parting.again or 0),
            parting=parting,
        )
        if len(program.places) > MOST_PLACES:
            del program.places[next(iter(program.places))]


def parting_view(parting: Parting) -> PartingView:
    """Show where a prompt parts from another."""
    return PartingView(
        part=parting.part,
        offset=parting.offset_bytes,
        token=parting.tokens,
        is_exact=parting.is_exact,
        kind=parting.kind.value,
        before=parting.before,
        now=parting.now,
        again=parting.again_tokens,
        says=describe(parting),
        fix=fix_of(parting),
    )


def _view_of(name: str, one: _Program) -> ProgramView:
    return ProgramView(
        program=name,
        requests=one.requests,
        prompt_tokens=one.prompt_tokens,
        cached_tokens=one.cached_tokens,
        breaks=one.breaks,
        headers_removed=one.headers_removed,
        places=list(one.places.values())[::-1],
    )
