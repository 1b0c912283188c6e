"""Each number of a plan, as its formula with the values in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from localllm.events import DeviceId
from localllm.fit.cache import (
    FLOAT_BYTES,
    KV_TYPES,
    Setting,
    kv_cache_bytes,
    window_cells,
    window_held,
    window_row_bytes,
)
from localllm.fit.placing import Arrangement, Share
from localllm.fit.plan import Memory, Plan
from localllm.fit.shape import Layer, Shape


@dataclass(frozen=True, slots=True)
class Explained:
    """One number."""

    device: DeviceId
    part: str
    """A field of Memory."""

    size_bytes: int
    formula: str


def explain(shape: Shape, plan: Plan) -> tuple[Explained, ...]:
    """Take a plan's memory apart, device by device."""
    setting = Setting(
        plan.context,
        plan.parallel,
        plan.micro_batch,
        plan.kv_type,
        rollback=plan.rollback,
        checkpoints=plan.checkpoints,
    )
    shares = (*plan.arrangement.devices, plan.arrangement.host)
    return tuple(
        Explained(placed.device, part, size, formula)
        for placed, share in zip(plan.placement, shares, strict=True)
        for part, size, formula in _parts(shape, setting, share, placed.memory, plan.arrangement)
        if size
    )


def _parts(
    shape: Shape, setting: Setting, share: Share, memory: Memory, arrangement: Arrangement
) -> Iterator[tuple[str, int, str]]:
    yield "weights", memory.weights, _weights(shape, arrangement, share)
    yield from _caches(shape, setting, share)
    yield "recurrent_state", memory.recurrent_state, _state(shape, setting, share)
    yield "checkpoints", memory.checkpoints, _checkpoints(shape, setting)
    yield "compute", memory.compute, _compute(setting)
    yield "output", memory.output, _output(shape, setting)
    yield "projector", memory.projector, "the projector's tensors and its buffers"
    yield (
        "draft",
        memory.draft,
        "what guesses ahead: weights, cache, buffers, logits of the guesses",
    )
    yield "overhead", memory.overhead, "what the device's runtime takes before any buffer"


def _weights(shape: Shape, arrangement: Arrangement, share: Share) -> str:
    on_host = share is arrangement.host
    said = ["the token table, which is looked up here"] if on_host else []
    if share.layers:
        said.append(f"tensors of layers {share.first} to {share.last - 1}")
    if share.output:
        again = " (the token table again)" if shape.tied and not on_host else ""
        said.append(f"the output layer{again}")
    aside = min(arrangement.experts_on_host, len(shape.layers))
    if aside and on_host:
        said.append(f"the experts of layers 0 to {aside - 1}")
    elif share.first < aside:
        said.append(f"no experts of layers {share.first} to {min(aside, share.last) - 1}")
    return ", ".join(said)


def _caches(shape: Shape, setting: Setting, share: Share) -> Iterator[tuple[str, int, str]]:
    """Layers that are alike together, in the order in which they come."""
    alike = Counter(_kind(shape, setting, shape.layers[i]) for i in share.layers)
    for (cells, key, value, each, compression), layers in alike.items():
        if shape.compressed:
            yield "kv_cache", layers * each, _compressed(setting, layers, key, compression)
            continue
        bits = 8 * KV_TYPES[setting.kv_type].block_bytes / KV_TYPES[setting.kv_type].block
        size = layers * each
        streams = f"{setting.streams} x " if setting.streams > 1 else ""
        formula = (
            f"{layers} layers x {streams}{cells} cells x ({key} keys + {value} values) "
            f"x {bits:g} bits"
        )
        yield "kv_cache", size, formula


def _compressed(setting: Setting, layers: int, key: int, compression: int) -> str:
    """Of DeepSeek V4, whose slots never share."""
    more = f", and one for every {compression} of {setting.cells} tokens" if compression else ""
    each = f"a window's cells{more}, with {key} keys each"
    return f"{layers} layers x {setting.parallel} slots x ({each})"


def _kind(shape: Shape, setting: Setting, layer: Layer) -> tuple[int, int, int, int, int]:
    cells = window_cells(shape, setting) if layer.windowed else setting.cells
    size = kv_cache_bytes(shape, layer, setting)
    return cells, layer.key, layer.value, size, layer.compression


def _state(shape: Shape, setting: Setting, share: Share) -> str:
    numbers = [shape.layers[i].state for i in share.layers if shape.layers[i].state]
    if len(set(numbers)) > 1:
        each = f"{min(numbers)} to {max(numbers)} numbers"
    else:
        each = f"{max(numbers, default=0)} numbers"
    kept = f" x {1 + setting.rollback} kept" if setting.rollback else ""
    return f"{len(numbers)} layers x {setting.parallel} slots{kept} x {each} x 4 bytes"


def _checkpoints(shape: Shape, setting: Setting) -> str:
    numbers = sum(layer.state for layer in shape.layers)
    row = window_row_bytes(shape, setting)
    said = [f"{numbers} numbers of state x {FLOAT_BYTES} bytes"] if numbers else []
    if row:
        said.append(f"a window of {window_held(shape, setting)} tokens x {row} bytes")
    return f"{setting.parallel} slots x {setting.checkpoints} x ({' + '.join(said)}), as they come"


def _compute(setting: Setting) -> str:
    return (
        f"llama.cpp's graph for a micro batch of {setting.micro_batch} tokens over "
        f"{setting.cells} cells, laid out as its allocator does"
    )


def _output(shape: Shape, setting: Setting) -> str:
    embedding = f" + {shape.header.embedding} of the embedding" if shape.embeds else ""
    numbers = f"{shape.header.vocabulary} tokens{embedding}"
    return f"{setting.parallel} slots x ({numbers}) x 4 bytes"
