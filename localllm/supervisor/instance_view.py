"""Shows one instance: what was planned, and what it turned out to be."""

from __future__ import annotations

import math

from localllm.api.status_views import (
    ErrorView,
    InstanceView,
    LayersView,
    PlacedView,
    RequestsView,
    SpeedView,
    UsedMemoryView,
)
from localllm.engines.diagnosis import diagnose
from localllm.engines.extras import caveats
from localllm.events import ModelState
from localllm.planning.prompt_keeping import how_prompts_are_kept
from localllm.planning.proof import broken_promises, placed
from localllm.planning.views import render_keeping
from localllm.store.inventory import printable
from localllm.supervisor.fleet import Fleet
from localllm.supervisor.hosted import Hosted

_TAIL_LINES = 12
_READ_LINES = 40
"""Of a log, for what it may say of a failure; more than is shown."""


def render_instance(fleet: Fleet, hosted: Hosted, now: float) -> InstanceView:
    """Show one instance: what was planned, and what it turned out to be.

    Args:
        now: On the loop's clock.
    """
    planned, record, measured = hosted.planned, hosted.runner.record, hosted.runner.measured
    load = None if measured is None or not measured.load.buffers else measured.load
    speed = None if measured is None else measured.speed
    parts = placed(planned, hosted.serving, load)
    return InstanceView(
        id=planned.stored.id,
        instance=hosted.id,
        state=hosted.state.value,
        wanted=fleet.is_on_its_way(hosted),
        why=_why(fleet, hosted),
        file=printable(str(planned.stored.file)),
        current=fleet.names.current == planned.model,
        pinned=hosted.pinned,
        lane=hosted.terms.lane.value,
        unload_in=_unload_in_s(hosted, now),
        gap=hosted.gap_s,
        held=hosted.lobby.held,
        engine=planned.choice.installed.engine,
        engine_version=planned.choice.installed.version,
        device=planned.device_name,
        quant=planned.header.quantization,
        context=planned.plan.context,
        parallel=planned.plan.parallel,
        pid=record.pid,
        layers=LayersView(
            on_device=planned.layers_on_device if load is None else load.layers_on_device(),
            total=planned.plan.layers,
        ),
        memory=UsedMemoryView(
            predicted=planned.plan.memory.at_load,
            measured=None if load is None else load.total_bytes,
            resident=None if measured is None else measured.resident_bytes,
        ),
        placement=[
            PlacedView(
                device=part.device,
                name=part.name,
                layers=part.layers,
                predicted=part.predicted_bytes,
                measured=part.measured_bytes,
            )
            for part in parts
        ],
        warnings=[
            *broken_promises(parts),
            *caveats(hosted.serving),
            *(() if measured is None else measured.doubts),
        ],
        engine_args=list(hosted.serving.engine_args),
        speed=SpeedView(
            predicted_tps=planned.plan.decode_tps,
            measured_tps=None if speed is None else speed.decode_tps,
            prefill_tps=None if speed is None else speed.prefill_tps,
        ),
        requests=RequestsView(
            active=hosted.in_flight,
            waiting=hosted.waiting,
            total=hosted.total,
            remote=hosted.remote,
        ),
        prompts=render_keeping(how_prompts_are_kept(planned, fleet.tools.prefix)),
        kv_used=None,
        error=_error(hosted),
    )


def _why(fleet: Fleet, hosted: Hosted) -> str:
    if hosted.reading:
        return "its file is read into memory while another model serves"
    waits = fleet.grants.why_it_waits(hosted.id)
    return hosted.refused or waits or hosted.runner.record.why


def _unload_in_s(hosted: Hosted, now: float) -> float | None:
    idle = hosted.takes_requests() and not hosted.in_flight and not hosted.waiting
    if not idle or hosted.pinned or math.isinf(hosted.terms.keep_s):
        return None
    return max(0.0, hosted.used_at + hosted.terms.keep_s - now)


def _error(hosted: Hosted) -> ErrorView | None:
    if hosted.refused is not None:
        return ErrorView(reason=hosted.refused, fix=None, log=[])
    if hosted.state not in {ModelState.FAILED, ModelState.BACKOFF}:
        return None
    why = hosted.runner.record.why
    said = hosted.log_tail(_READ_LINES)
    known = diagnose("\n".join([*said, why]))
    return ErrorView(
        reason=why if known is None or known.why in why else f"{why}: {known.why}",
        fix=None if known is None else known.fix,
        log=said[-_TAIL_LINES:],
    )
