"""What one model takes in one setting, in bytes, by device and by use. Formulas only.

For llama.cpp's server with flash attention. Weights, cache and state are what the engine logs,
to the byte; compute buffers see compute.py. Held against the engine by scripts/verify_fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from localllm.fit.bound import compute_bound
from localllm.fit.cache import FLOAT_BYTES, Setting, kv_cache_bytes, state_bytes
from localllm.fit.compute import compute_bytes
from localllm.fit.graph_parts import UnknownGraph
from localllm.fit.placing import Arrangement, Share
from localllm.fit.plan import Memory
from localllm.fit.shape import Shape
from localllm.fit.tables import Tables, grouped, tabulate


def memory_of(
    shape: Shape,
    setting: Setting,
    arrangement: Arrangement,
    kinds: Sequence[str],
    *,
    mixed_batches: bool = True,
) -> tuple[Memory, ...]:
    """What each device takes, in their order, and last what the host takes.

    Args:
        kinds: How each device of the arrangement is driven: cuda, rocm, metal or vulkan.
        mixed_batches: Whether the engine is as new as autumn 2026; see compute.py.
    """
    tables = tabulate(shape, kinds)
    kept = kept_of(tables, setting, arrangement, tables.on_devices(arrangement, kinds))
    buffers = buffers_of(tables, setting, arrangement, kinds, mixed_batches=mixed_batches)
    return with_buffers(kept, buffers)


def buffers_of(
    tables: Tables,
    setting: Setting,
    arrangement: Arrangement,
    kinds: Sequence[str],
    *,
    mixed_batches: bool = True,
) -> tuple[int, ...]:
    """Compute buffers of each device, and last of the host; bounded where they are not known."""
    try:
        on_host, on_devices = compute_bytes(
            tables.shape, setting, arrangement, kinds, mixed_batches=mixed_batches
        )
    except (UnknownGraph, LookupError, ArithmeticError):
        # its tensors are not those of its architecture; an engine may refuse it as well
        return bounded_buffers_of(tables, setting, arrangement)
    return (*on_devices, on_host)


def bounded_buffers_of(
    tables: Tables, setting: Setting, arrangement: Arrangement
) -> tuple[int, ...]:
    """As `buffers_of`, quickly and from above."""
    on_host, on_devices = compute_bound(tables.shape, setting, arrangement, tables.widest_floats)
    return (*on_devices, on_host)


def with_buffers(kept: Sequence[Memory], buffers: Sequence[int]) -> tuple[Memory, ...]:
    """Add the compute buffers."""
    return tuple(replace(m, compute=c) for m, c in zip(kept, buffers, strict=True))


def kept_of(
    tables: Tables, setting: Setting, arrangement: Arrangement, weights: Sequence[int]
) -> tuple[Memory, ...]:
    """As `memory_of`, without the compute buffers, which take longest to work out."""
    shares = (*arrangement.devices, arrangement.host)
    return tuple(
        _kept(tables, setting, share, size, has_output=share is arrangement.host)
        for share, size in zip(shares, weights, strict=True)
    )


def _kept(
    tables: Tables, setting: Setting, share: Share, weights: int, *, has_output: bool
) -> Memory:
    groups, shape = grouped(tables, share), tables.shape
    return Memory(
        weights=weights,
        kv_cache=sum(n * kv_cache_bytes(shape, layer, setting) for layer, n in groups),
        compute=0,
        output=output_bytes(shape, setting) if has_output else 0,
        recurrent_state=sum(n * state_bytes(layer, setting) for layer, n in groups),
    )


def output_bytes(shape: Shape, setting: Setting) -> int:
    """The logits of one token per slot, and of an embedding model the embeddings, on the host.

    Source: llama.cpp, src/llama-context.cpp, output_reserve.
    """
    numbers = shape.header.vocabulary + (shape.header.embedding if shape.embeds else 0)
    return setting.parallel * numbers * FLOAT_BYTES
