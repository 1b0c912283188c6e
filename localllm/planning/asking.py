"""The engine's own answer beside the formulas': what the choice would take, before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localllm.engines.estimate import estimate
from localllm.engines.estimate_log import Estimate, Refused
from localllm.engines.load_log import Buffer, LoadReport
from localllm.engines.sparse import Part
from localllm.events import DeviceId
from localllm.fit.plan import Budget, Memory, Placement, Plan
from localllm.hardware.machine import CPU
from localllm.planning.choice import Choice
from localllm.planning.considering import Considered
from localllm.planning.planner import Planned, serving_of
from localllm.store.stored import StoredModel

_SILENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking."""

    considered: Considered
    from_engine: bool = False
    """The plan's buffers are the engine's own; its weights are the tensor table's all the same,
    since those are exact to the byte."""

    excess: Mapping[str, int] | None = None
    """By device: bytes that the engine takes and the formulas did not know; where that is more
    than there is, the plan has to be made again with so much less."""


def ask_engine(
    considered: Considered,
    choice: Choice,
    budgets: Sequence[Budget],
    parts: Sequence[Part],
    environment: Mapping[str, str],
) -> Heard:
    """Ask the engine of `choice` about a plan; the plan as it was where it cannot answer."""
    plan, offer = considered.plan, considered.offer
    if plan is None or offer.header is None or (offer.stored is None and not parts):
        return Heard(considered)
    file = Path("model.gguf")
    stored = offer.stored or StoredModel(offer.model, file, offer.size_bytes or 0, offer.repo)
    planned = Planned(stored, offer.header, choice, plan, threads=1, budget={})
    serving = serving_of(planned, silence_s=_SILENCE_S)
    answer = estimate(choice.installed, serving, environment, parts=parts)
    if isinstance(answer, Refused):
        why = (
            f"{choice.installed.engine} {choice.installed.version or ''} refuses it: {answer.said}"
        )
        return Heard(replace(considered, plan=None, why_not=why))
    if not isinstance(answer, Estimate):
        return Heard(considered)
    names = [device.name for device in serving.devices]
    told = with_engines_numbers(plan, answer.report, names)
    return Heard(
        replace(considered, plan=told), from_engine=True, excess=_excess(plan, told, budgets)
    )


def with_engines_numbers(plan: Plan, report: LoadReport, names: Sequence[str]) -> Plan:
    """Put the engine's buffers in the place of those that were predicted.

    Args:
        names: The devices with layers in the engine's words, in the plan's order.
    """
    with_layers = [p.device for p in plan.placement if p.layers and p.device != CPU]
    named = dict(zip(with_layers, names, strict=True))
    placement = tuple(
        replace(placed, memory=_memory(placed.memory, _of(placed, report, named)))
        for placed in plan.placement
    )
    return replace(plan, placement=placement)


def _of(placed: Placement, report: LoadReport, named: Mapping[DeviceId, str]) -> Sequence[Buffer]:
    if placed.device == CPU:
        return [b for b in report.buffers if b.on_host]
    return [b for b in report.buffers if b.where == named.get(placed.device)]


def _memory(predicted: Memory, buffers: Sequence[Buffer]) -> Memory:
    def told(use: str) -> int:
        return sum(b.size_bytes for b in buffers if b.use == use)

    return replace(
        predicted,
        kv_cache=told("KV"),
        recurrent_state=told("RS"),
        compute=told("compute"),
        output=told("output"),
    )


def _excess(plan: Plan, told: Plan, budgets: Sequence[Budget]) -> Mapping[str, int] | None:
    usable = {budget.device: budget.usable_bytes for budget in budgets}
    if all(p.size_bytes <= usable[p.device] for p in told.placement):
        return None
    return {
        after.device: after.size_bytes - before.size_bytes
        for before, after in zip(plan.placement, told.placement, strict=True)
    }
