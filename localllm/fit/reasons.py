"""Why a model fits, or does not, in one sentence with the numbers that decided."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.fit.layout import Layout, Part, total_of
from localllm.fit.plan import Memory
from localllm.units import size


def why_it_fits(layout: Layout, context: int, parts: Sequence[Part]) -> str:
    """Say where it goes, what takes how much, and what was given up for it."""
    places = " and ".join(
        f"{size(p.need)} of {size(p.budget.usable_bytes)} on {p.budget.name}" for p in _taken(parts)
    )
    said = [_breakdown(total_of(parts), layout, context), *_given_up(layout)]
    if not layout.shape.header.context_trained:
        said.append("the file states no longest context")
    return f"{places}: {'; '.join(said)}."


def why_not(layout: Layout, context: int, parts: Sequence[Part]) -> str:
    """Say which device lacks most, and what would take how much."""
    short = min(parts, key=lambda part: part.spare)
    return (
        f"{size(short.need)} are needed on {short.budget.name}, "
        f"{size(short.budget.usable_bytes)} can be used: "
        f"{_breakdown(total_of(parts), layout, context)}."
    )


def _taken(parts: Sequence[Part]) -> Sequence[Part]:
    """The devices, where there are any; the host beside them only where it has layers or experts."""
    if len(parts) == 1:
        return parts
    host = parts[-1]
    keeps = host.memory.kv_cache or host.memory.weights > sum(p.memory.weights for p in parts) // 4
    return parts if keeps else parts[:-1]


def _given_up(layout: Layout) -> list[str]:
    arrangement, said = layout.arrangement, []
    if arrangement.experts_on_host:
        of = len(layout.shape.layers)
        said.append(f"the experts of {arrangement.experts_on_host} of {of} layers on the processor")
    elif layout.devices and arrangement.host.count:
        said.append(f"{arrangement.host.count} of {layout.shape.blocks} layers on the processor")
    return said


def _breakdown(memory: Memory, layout: Layout, context: int) -> str:
    buffers = memory.compute + memory.output + memory.overhead
    said = [
        f"weights {size(memory.weights)}",
        f"KV cache {size(memory.kv_cache)} ({context} tokens, {layout.setting.kv_type})",
    ]
    if memory.recurrent_state:
        said.append(f"state {size(memory.recurrent_state)}")
    if memory.checkpoints:
        said.append(f"checkpoints {size(memory.checkpoints)}")
    if memory.projector:
        said.append(f"projector {size(memory.projector)}")
    if memory.draft:
        said.append(f"draft {size(memory.draft)}")
    return ", ".join([*said, f"buffers {size(buffers)}"])
