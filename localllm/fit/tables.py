"""A model's sums, made once, so that many layouts of it can be looked at quickly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from localllm.fit.bound import widest_floats
from localllm.fit.placing import Arrangement, Share
from localllm.fit.shape import TOKEN_TABLE, Layer, Shape
from localllm.fit.weights import allocated_bytes


@dataclass(frozen=True, slots=True)
class Weights:
    """What the tensors take on one kind of device; of layers, sums from the first one on."""

    layers: Sequence[int]
    experts: Sequence[int]
    copied: int
    output: int
    output_beside_table: int
    """The output layer's, but for the token table, which is on the host in any case."""

    input_tables: int


@dataclass(frozen=True, slots=True)
class Tables:
    shape: Shape
    weights: Mapping[str, Weights]
    """By kind of device, `cpu` among them."""

    widest_floats: int

    def on_devices(self, arrangement: Arrangement, kinds: Sequence[str]) -> tuple[int, ...]:
        """Bytes of weights on each device, in their order, and last on the host."""
        devices = (
            self._on_device(self.weights[kind], arrangement, share)
            for share, kind in zip(arrangement.devices, kinds, strict=True)
        )
        return (*devices, self._on_host(self.weights["cpu"], arrangement))

    def has_room_for_a_layer(self, kind: str, free_bytes: int) -> bool:
        """Whether the largest layer, its experts aside, goes into so much."""
        sums = self.weights[kind].layers
        return max((b - a for a, b in pairwise(sums)), default=0) <= free_bytes

    def _on_device(self, table: Weights, arrangement: Arrangement, share: Share) -> int:
        """A token table that serves as the output is there a second time.

        Source: llama.cpp, src/models/*.cpp, TENSOR_DUPLICATED.
        """
        first = max(share.first, min(arrangement.experts_on_host, share.last))
        size = _between(table.layers, share.first, share.last)
        size += _between(table.experts, first, share.last)
        size += table.copied if share.layers else 0
        return size + (table.output if share.output else 0)

    def _on_host(self, table: Weights, arrangement: Arrangement) -> int:
        """Input tables, layers left on the host, and experts that stay there."""
        share = arrangement.host
        aside = max(share.last, min(arrangement.experts_on_host, len(self.shape.layers)))
        size = table.input_tables + _between(table.layers, share.first, share.last)
        size += _between(table.experts, share.first, aside)
        size += table.copied if share.layers or share.output else 0
        return size + (table.output_beside_table if share.output else 0)


def tabulate(shape: Shape, kinds: Sequence[str]) -> Tables:
    """Sum up a model for the kinds of devices that it may go to."""
    return Tables(
        shape,
        {kind: _weights(shape, kind) for kind in {*kinds, "cpu"}},
        widest_floats(shape),
    )


def grouped(tables: Tables, share: Share) -> tuple[tuple[Layer, int], ...]:
    """The layers of a share by what they keep: one of each kind, and how many there are."""
    counts: dict[tuple[object, ...], list[int]] = {}
    for i in share.layers:
        counts.setdefault(_keeps(tables.shape.layers[i]), []).append(i)
    return tuple((tables.shape.layers[found[0]], len(found)) for found in counts.values())


def _keeps(layer: Layer) -> tuple[object, ...]:
    return layer.windowed, layer.key, layer.value, layer.state, layer.compression


def _weights(shape: Shape, kind: str) -> Weights:
    outputs = [(t.name, allocated_bytes((t,), kind)) for t in shape.output_tensors]
    table = sum(size for name, size in outputs if name == TOKEN_TABLE)
    twice = shape.table_is_twice_on_host and kind == "cpu"
    return Weights(
        layers=[0, *accumulate(_layer_sizes(shape, kind))],
        experts=[0, *accumulate(allocated_bytes(layer.experts, kind) for layer in shape.layers)],
        copied=allocated_bytes(shape.copied, kind),
        output=sum(size for _, size in outputs),
        output_beside_table=sum(size for _, size in outputs) - (0 if twice else table),
        input_tables=allocated_bytes(shape.input_tables, kind),
    )


def _layer_sizes(shape: Shape, kind: str) -> Iterator[int]:
    for i, layer in enumerate(shape.layers):
        entry = allocated_bytes(shape.entry, kind) if i == 0 else 0
        yield entry + allocated_bytes(layer.tensors, kind)


def _between(sums: Sequence[int], first: int, last: int) -> int:
    return sums[last] - sums[first] if last > first else 0
