"""Compute buffers of models whose graph is not known: those of a plain transformer, and a margin."""

from __future__ import annotations

from collections.abc import Sequence

from localllm.fit.cache import Setting
from localllm.fit.graph import Batch, Width, device_compute_bytes, host_compute_bytes, staging_bytes
from localllm.fit.graph_model import batch_of
from localllm.fit.placing import Arrangement
from localllm.fit.shape import Layer, Shape

MARGIN = 1.3
"""On what is computed; the worst graph known is 22 % above a plain transformer's."""


def bounded_bytes(
    shape: Shape, setting: Setting, arrangement: Arrangement, copies: int
) -> tuple[int, tuple[int, ...]]:
    """The host's and each device's, with the weights that a device may have to copy.

    Args:
        copies: Of each input, on each device.
    """
    width, batch = _width(shape), _batch(shape, setting)
    inputs = (copies - 1) * (batch.mask_bytes + width.embedding * 4 * batch.tokens)
    if not arrangement.devices:
        return _with_margin(host_compute_bytes(width, batch, len(shape.layers)), batch), ()
    device = _with_margin(device_compute_bytes(width, batch, len(shape.layers)), batch)
    borrowed = 0 if arrangement.whole else _largest_tensor_bytes(shape.layers)
    host = _with_margin(staging_bytes(width, batch), batch) + inputs
    return host, tuple(
        0 if share.is_empty else device + inputs + borrowed for share in arrangement.devices
    )


def _with_margin(size: int, batch: Batch) -> int:
    return int(MARGIN * (size - batch.mask_bytes)) + batch.mask_bytes


def _batch(shape: Shape, setting: Setting) -> Batch:
    batch = batch_of(setting)
    cells = batch.tokens if shape.encoder else setting.cells
    return Batch(batch.tokens, cells, batch.outputs, 2 if shape.window else 1)


def _width(shape: Shape) -> Width:
    layers, header = shape.layers, shape.header
    return Width(
        embedding=header.embedding,
        query=max(layer.query for layer in layers),
        key=max(layer.key for layer in layers),
        value=max(layer.value for layer in layers),
        attended=max(layer.attended for layer in layers),
        feed_forward=max(_alive(shape), *(_widest(layer) for layer in layers)),
        logits=header.vocabulary,
    )


def _widest(layer: Layer) -> int:
    """The widest matrix's outer dimension: what is computed at once is three times that, at most."""
    return max((max(t.shape) for t in layer.tensors if len(t.shape) == 2), default=0)  # noqa: PLR2004


def _alive(shape: Shape) -> int:
    """A third of what the experts of one token compute, as the plain formula counts three."""
    experts = shape.experts
    if experts is None:
        return 0
    return (
        -(-experts.used * 2 * (shape.header.embedding + experts.width) // 3) + experts.shared_width
    )


def _largest_tensor_bytes(layers: Sequence[Layer]) -> int:
    """Two experts' tensors can be on their way at once."""
    return 2 * max(
        (t.size_bytes for layer in layers for t in (*layer.tensors, *layer.experts)), default=0
    )
