"""Which device has which layers of a model, and where its experts are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from localllm.fit.shape import Shape


@dataclass(frozen=True, slots=True)
class Share:
    """What one device has: a run of layers, and perhaps the output layer."""

    first: int
    last: int
    """One past the end, in blocks of the model."""

    output: bool
    count: int
    """Layers as llama.cpp counts them: the output layer is one, and so are idle blocks."""

    @property
    def layers(self) -> range:
        return range(self.first, self.last)

    @property
    def is_empty(self) -> bool:
        return not self.count


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A whole model over a host and the devices beside it."""

    host: Share
    devices: tuple[Share, ...] = ()
    experts_on_host: int = 0
    """Of so many layers from the first the experts stay on the host (`--n-cpu-moe`)."""

    def keeps_experts(self, layer: int) -> bool:
        """Whether a layer's experts are where the layer is."""
        return layer >= self.experts_on_host

    @property
    def layers_on_devices(self) -> int:
        return sum(share.count for share in self.devices)

    @property
    def whole(self) -> bool:
        """Whether the devices have everything but what is always looked up on the host."""
        return self.host.is_empty and not self.experts_on_host


def on_host(shape: Shape) -> Arrangement:
    """Leave everything to the processor."""
    return Arrangement(Share(0, len(shape.layers), output=True, count=shape.blocks))


def arrange(
    shape: Shape, split: Sequence[int], *, on_devices: int | None = None, experts_on_host: int = 0
) -> Arrangement:
    """Lay out a model as llama.cpp does.

    Args:
        split: Layers for each device, in proportion (`--tensor-split`); one number for one
            device. llama.cpp counts the output layer and idle blocks as layers.
        on_devices: Layers that leave the host, from the last one back (`--n-gpu-layers`);
            None: all.

    Source: llama.cpp, src/llama-model.cpp, load_tensors.
    """
    blocks, last = shape.blocks, len(shape.layers)
    leaving = blocks if on_devices is None else min(on_devices, blocks)
    begin = blocks - leaving
    ends = _ends(split)
    device_of = [bisect_right(ends, (i - begin) / leaving) for i in range(begin, blocks)]
    devices: list[Share] = []
    for n in range(len(split)):
        mine = [begin + i for i, device in enumerate(device_of) if device == n]
        layers = [i for i in mine if i < last]
        first = layers[0] if layers else last
        devices.append(Share(first, first + len(layers), blocks - 1 in mine, len(mine)))
    host = Share(0, min(begin, last), leaving == 0, begin)
    return Arrangement(host, tuple(devices), experts_on_host)


def _ends(split: Sequence[int]) -> list[float]:
    total, ends, so_far = sum(split), [], 0
    for part in split:
        so_far += part
        ends.append(so_far / total)
    return ends
