"""How much context a model has room for in mlx-lm: one text at a time, a cache that grows.

On a processor attention is not fused, which takes memory with the square of the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from localllm.fit.cache import CONTEXT_STEP, FLOAT_BYTES, Setting
from localllm.fit.decide import MIN_CONTEXT, UNSTATED_CONTEXT, earlier_prompts_bytes
from localllm.fit.layout import Layout, Part
from localllm.fit.mlx import CHUNK, Reading, activation_bytes, cache_bytes
from localllm.fit.placing import arrange
from localllm.fit.plan import Budget, Memory, Placement, Plan, Verdict, Wish
from localllm.fit.reasons import why_it_fits, why_not
from localllm.fit.shape import Shape, shape_of
from localllm.fit.tables import tabulate
from localllm.fit.work import speed_of
from localllm.formats.header import Header


def plan_mlx(header: Header, budgets: Sequence[Budget], wish: Wish) -> Plan:
    """Plan one model for mlx-lm, on the first device beside the host, else on the processor.

    Args:
        budgets: As `decide.plan` takes them; the device's wired limit is its budget.

    Raises:
        UnsupportedArchitecture: The formulas do not cover the model.
        ValueError: There is no host.
    """
    devices = [budget for budget in budgets if not budget.is_host]
    hosts = [budget for budget in budgets if budget.is_host]
    if not hosts:
        raise ValueError("every machine has a host")
    shape, device = shape_of(header), (devices or hosts)[0]
    most = header.context_trained or wish.context or UNSTATED_CONTEXT
    least = wish.context or min(MIN_CONTEXT, most)
    context = wish.context or _longest(shape, device, least, most)
    part = Part(device, _memory(shape, context, fused=not device.is_host))
    layout = _layout(shape, device, hosts[0], context)
    fits = part.spare >= 0 and context <= most
    reason = (why_it_fits if fits else why_not)(layout, context, [part])
    return Plan(
        verdict=Verdict.FITS if fits else Verdict.TOO_BIG,
        reason=reason,
        context=context,
        parallel=1,
        kv_type="f16",
        micro_batch=CHUNK,
        layers=shape.blocks,
        arrangement=layout.arrangement,
        placement=(
            Placement(device.device, shape.blocks, part.memory),
            *(Placement(hosts[0].device, 0, Memory(0, 0, 0, 0)) for _ in devices[:1]),
        ),
        host_cache_bytes=_earlier_prompts_bytes(part) if fits else 0,
        speed=speed_of(layout, context) if fits else None,
        prompts_on=device.device,
    )


def _earlier_prompts_bytes(part: Part) -> int:
    """What the device has left for them; mlx-lm keeps them where it computes, as they were read."""
    return earlier_prompts_bytes(part.memory.kv_cache + part.memory.recurrent_state, part.spare)


def _longest(shape: Shape, device: Budget, least: int, most: int) -> int:
    """The longest context in whole steps that fits; the least, if not even that does."""
    low, high = least // CONTEXT_STEP, most // CONTEXT_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if (
            _memory(shape, middle * CONTEXT_STEP, fused=not device.is_host).total
            <= device.usable_bytes
        ):
            low = middle
        else:
            high = middle - 1
    return max(low * CONTEXT_STEP, least)


def _memory(shape: Shape, context: int, *, fused: bool) -> Memory:
    reading = Reading(tokens=context, fused=fused)
    state = sum(layer.state for layer in shape.layers) * FLOAT_BYTES
    return Memory(
        weights=shape.header.weights_bytes,
        kv_cache=cache_bytes(shape, reading) - state,
        compute=activation_bytes(shape, reading),
        output=0,
        recurrent_state=state,
    )


def _layout(shape: Shape, device: Budget, host: Budget, context: int) -> Layout:
    tables = tabulate(shape, [device.kind])
    arrangement = arrange(shape, [1])
    weights = tables.on_devices(arrangement, [device.kind])
    setting = Setting(context, 1, CHUNK)
    return Layout(tables, host, (device,), arrangement, setting, weights, 0, exact=False)
