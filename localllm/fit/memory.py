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
    weights = tables.on_devices(arrangement, kinds)
    kept = kept_of(tables, setting, arrangement, weights, idle_caches=not mixed_batches)
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
    held = _held_state_bytes(tables.shape, setting)
    return tuple(size + held for size in (*on_devices, on_host))


def _held_state_bytes(shape: Shape, setting: Setting) -> int:
    """Of models without any cache: one layer's state, of all slots but one.

    Seen in real loads of mamba2 with 2 and 4 slots, though an engine's estimate lacks it.
    """
    if shape.encoder or any(layer.key for layer in shape.layers):
        return 0
    return (setting.parallel - 1) * max(layer.state for layer in shape.layers) * FLOAT_BYTES


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
    tables: Tables,
    setting: Setting,
    arrangement: Arrangement,
    weights: Sequence[int],
    *,
    idle_caches: bool = False,
) -> tuple[Memory, ...]:
    """As `memory_of`, without the compute buffers, which take longest to work out.

    Args:
        idle_caches: Whether blocks for drafts have a cache though they are not loaded: they do in
            b10434, and no more in 11549.
    """
    shares = (*arrangement.devices, arrangement.host)
    kept = [
        _kept(tables, setting, share, size, has_output=share is arrangement.host)
        for share, size in zip(shares, weights, strict=True)
    ]
    if idle_caches and tables.shape.idle_layers and not tables.shape.recurrent:
        last = next(i for i, share in enumerate(shares) if share.output)
        idle = kv_cache_bytes(tables.shape, tables.shape.layers[-1], setting)
        kept[last] = replace(
            kept[last], kv_cache=kept[last].kv_cache + tables.shape.idle_layers * idle
        )
    return tuple(kept)


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
    embeds = shape.embeds or setting.embeds
    numbers = shape.header.vocabulary + (shape.header.embedding if embeds else 0)
    return setting.parallel * numbers * FLOAT_BYTES
