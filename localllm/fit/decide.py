"""Which way to run a model: the longest context that fits on the first device that can take it.

Nothing is asked of the machine here; the same numbers give the same plan, and more memory
never gives a shorter context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.fit.memory import (
    CONTEXT_STEP,
    KV_TYPE,
    Setting,
    check_architecture,
    kv_cache_bytes,
    memory_alone,
    memory_beside,
    memory_on_device,
)
from localllm.fit.plan import Budget, Memory, Placement, Plan, Verdict, Wish
from localllm.fit.speed import decode_tps
from localllm.formats.header import Header
from localllm.units import GIB, MIB, size

PARALLEL = 4
"""Slots: agents ask for a title beside the turn, and start helpers."""

MIN_CONTEXT = 2048
"""Tokens; below it a chat is no use, let alone an agent."""

UNSTATED_CONTEXT = 4096
"""Tokens; the most that we trust a model with that does not say what it was trained with."""

CACHED_CONTEXTS = 4
CACHE_SHARE = 0.1
MAX_CACHE_BYTES = 8 * GIB
"""Of earlier prompts, in host memory; llama.cpp's own default."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a model may go: all of it to one device, the host's part to the host."""

    header: Header
    device: Budget
    host: Budget
    parallel: int
    micro_batch: int

    def setting(self, context: int) -> Setting:
        return Setting(context, self.parallel, self.micro_batch)

    def parts(self, context: int) -> tuple[tuple[Budget, Memory], ...]:
        setting = self.setting(context)
        if self.device.is_host:
            return ((self.host, memory_alone(self.header, setting)),)
        return (
            (self.device, memory_on_device(self.header, setting)),
            (self.host, memory_beside(self.header, setting)),
        )

    def short_of(self, context: int) -> tuple[Budget, int] | None:
        """Name the first device that has too little, and what it would take there."""
        for budget, memory in self.parts(context):
            need = memory.total + budget.overhead_bytes
            if need > budget.usable_bytes:
                return budget, need
        return None

    def fits(self, context: int) -> bool:
        return self.short_of(context) is None


def plan(header: Header, budgets: Sequence[Budget], wish: Wish) -> Plan:
    """Place a whole model on one device: the first accelerator that it fits, else none.

    Args:
        header: What the model's file says.
        budgets: Exactly one host, and the accelerators in the order of preference; without
            any, the model goes to the host.
        wish: What the user asked for.

    Raises:
        UnsupportedArchitecture: The formulas do not cover the model.
        ValueError: There is not exactly one host, or a wish is not positive.
    """
    host = _host(budgets)
    _check(wish)
    check_architecture(header)
    devices = [budget for budget in budgets if not budget.is_host] or [host]
    parallel = wish.parallel or PARALLEL
    layouts = [_Layout(header, device, host, parallel, wish.micro_batch) for device in devices]
    most = header.context_trained or wish.context or UNSTATED_CONTEXT
    if wish.context is not None and wish.context > most:
        return _too_big(
            layouts[0],
            wish.context,
            f"A context of {wish.context} tokens is asked for, the model was trained with {most}.",
        )
    least = wish.context or min(MIN_CONTEXT, most)
    for layout in layouts:
        if layout.fits(least):
            return _fitting(layout, wish.context or _longest(layout, least, most))
    return _too_big(_roomiest(layouts), least, None)


def _host(budgets: Sequence[Budget]) -> Budget:
    hosts = [budget for budget in budgets if budget.is_host]
    if len(hosts) != 1:
        raise ValueError(f"{len(hosts)} hosts, where there must be one")
    return hosts[0]


def _check(wish: Wish) -> None:
    for name in ("context", "parallel", "micro_batch"):
        value = getattr(wish, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}")


def _roomiest(layouts: Sequence[_Layout]) -> _Layout:
    return max(layouts, key=lambda layout: layout.device.usable_bytes)


def _longest(layout: _Layout, least: int, most: int) -> int:
    """Find the longest context that fits, in whole steps, knowing that the least does."""
    low, high = least // CONTEXT_STEP, most // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if layout.fits(middle * CONTEXT_STEP):
            low = middle
        else:
            high = middle - 1
    return max(low * CONTEXT_STEP, least)


def _fitting(layout: _Layout, context: int) -> Plan:
    memory = _sum(layout, context)
    speed = decode_tps(layout.header, layout.device)
    return _plan(layout, context, Verdict.FITS, _why_it_fits(layout, context, memory), speed)


def _too_big(layout: _Layout, context: int, reason: str | None) -> Plan:
    return _plan(layout, context, Verdict.TOO_BIG, reason or _why_not(layout, context), None)


def _plan(
    layout: _Layout, context: int, verdict: Verdict, reason: str, speed: float | None
) -> Plan:
    fits = verdict is Verdict.FITS
    return Plan(
        verdict=verdict,
        reason=reason,
        context=context,
        parallel=layout.parallel,
        kv_type=KV_TYPE,
        micro_batch=layout.micro_batch,
        layers=layout.header.layers + 1,
        placement=_placement(layout, context),
        memory=_sum(layout, context),
        host_cache_bytes=_host_cache_bytes(layout, context) if fits else 0,
        decode_tps=speed,
    )


def _placement(layout: _Layout, context: int) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            device=budget.device,
            layers=layout.header.layers + 1 if budget is layout.device else 0,
            size_bytes=memory.total + budget.overhead_bytes,
        )
        for budget, memory in layout.parts(context)
    )


def _sum(layout: _Layout, context: int) -> Memory:
    parts = layout.parts(context)
    return Memory(
        weights=sum(memory.weights for _, memory in parts),
        kv_cache=sum(memory.kv_cache for _, memory in parts),
        compute=sum(memory.compute for _, memory in parts),
        output=sum(memory.output for _, memory in parts),
        overhead=sum(budget.overhead_bytes for budget, _ in parts),
    )


def _host_cache_bytes(layout: _Layout, context: int) -> int:
    """Host memory for earlier prompts, in whole MiB as the engine counts it."""
    budget, memory = layout.parts(context)[-1]
    left = budget.usable_bytes - memory.total - budget.overhead_bytes
    contexts = CACHED_CONTEXTS * kv_cache_bytes(layout.header, layout.setting(context))
    return min(contexts, int(CACHE_SHARE * left), MAX_CACHE_BYTES) // MIB * MIB


def _why_it_fits(layout: _Layout, context: int, memory: Memory) -> str:
    budget, on_device = layout.parts(context)[0]
    taken = on_device.total + budget.overhead_bytes
    said = "" if layout.header.context_trained else "; the file states no longest context"
    return (
        f"{size(taken)} of {size(budget.usable_bytes)} on {budget.name}: "
        f"{_breakdown(memory, context)}{said}."
    )


def _why_not(layout: _Layout, context: int) -> str:
    short = layout.short_of(context)
    budget, need = short or (layout.device, 0)
    return (
        f"{size(need)} are needed on {budget.name}, {size(budget.usable_bytes)} can be used: "
        f"{_breakdown(_sum(layout, context), context)}."
    )


def _breakdown(memory: Memory, context: int) -> str:
    buffers = memory.compute + memory.output + memory.overhead
    return (
        f"weights {size(memory.weights)}, KV cache {size(memory.kv_cache)} "
        f"({context} tokens, {KV_TYPE}), buffers {size(buffers)}"
    )
