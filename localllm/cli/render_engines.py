"""Draws engines and builds for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

from localllm.api.engine_views import BuildView, ComparisonView, EnginesView, EngineView
from localllm.cli.tables import table
from localllm.engines.bench import Pace
from localllm.wording.figures import size_of, speed_of


def render_engines(view: EnginesView) -> list[str]:
    """Draw a table of engines, what is to be said of each, and a table of builds."""
    lines = table(
        [
            ["engine", "version", "serves", "devices", "at once", "bench"],
            *map(_engine, view.engines),
        ]
    )
    lines += [f"  {e.name}: {text}" for e in view.engines if (text := _remark(e))]
    if not view.builds:
        return [*lines, "", "no build is known for this system"]
    return [
        *lines,
        "",
        *table([["build", "drives", "download", "state"], *map(_build, view.builds)]),
    ]


def _engine(engine: EngineView) -> list[str]:
    devices = ", ".join(d.name for d in engine.devices) or "processor"
    return [
        engine.name,
        engine.version or "-",
        ", ".join(engine.formats),
        devices if engine.available else "-",
        str(engine.at_once or "many") if engine.available else "-",
        speed_of(None if engine.bench is None else engine.bench.decode_tps),
    ]


def _remark(engine: EngineView) -> str:
    if engine.reason is not None:
        return f"not usable, {engine.reason}"
    said = [engine.origin or ""]
    if engine.at_once == 1:
        said.append("one request at a time, the others wait")
    if engine.hint is not None:
        said.append(engine.hint)
    return "; ".join(filter(None, said))


def _build(build: BuildView) -> list[str]:
    return [build.id, build.drives, size_of(build.download), _state(build)]


def _state(build: BuildView) -> str:
    if build.in_use:
        return f"in use, proved on {build.proved_on or 'the processor'}"
    if build.rollback:
        return "installed, in use before"
    if build.installed:
        return "installed"
    return "can be installed" if build.why_not is None else f"not for here: {build.why_not}"


def render_round(engine: str, pace: Pace | str) -> str:
    """Draw what one round gave, or why it failed."""
    if isinstance(pace, str):
        return f"{engine}: {pace}"
    return f"{engine}: reads {pace.prefill_tps:.0f}, writes {pace.decode_tps:.1f} tok/s"


def render_bench(view: ComparisonView) -> list[str]:
    """Draw a comparison, each beside the quickest."""
    best = view.benched[0].decode_tps
    rows = [
        [
            one.engine,
            one.version or "-",
            one.device,
            f"{one.prefill_tps:.0f} tok/s",
            f"{one.decode_tps:.1f} tok/s",
            f"{one.decode_tps / best:.0%}",
        ]
        for one in view.benched
    ]
    head = ["engine", "version", "device", "reads", "writes", "of the best"]
    left = [f"left out: {one.engine}, {one.why}" for one in view.left_out]
    return [view.model, "", *table([head, *rows]), *left]
