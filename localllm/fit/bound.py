"""Compute buffers without a graph: a closed bound, quick, and never below what was logged.

For a first look at many models at once, and for files whose tensors have names that compute.py
does not know. Held against compute.py for 28 models of 14 architectures: on one device 4 to 50 %
above it, with compressed keys or encoders more; beside a part on the host up to four times it.
"""

from __future__ import annotations

from localllm.fit.cache import Setting, kv_cache_bytes, padded, window_cells
from localllm.fit.placing import Arrangement, Share
from localllm.fit.shape import Layer, Shape

FLOAT_BYTES = 4
HALF_BYTES = 2
STAGED_EMBEDDINGS = 5
"""Copies of a micro batch's embeddings that the host holds beside devices."""

MARGIN = 1.1
LATENT_MARGIN = 1.5
"""Of models with compressed keys, which take the most of what the formula leaves out."""

FIXED_BYTES = 4 << 20
PIPELINE_COPIES = 4
COMPRESSED_MARGIN = 2.0
COMPRESSED_HOST, COMPRESSED_DEVICE = 4, 6
"""Of DeepSeek V4 on devices, whose buffers follow no formula here: from real loads of a tiny one,
on a software device; on a real one the truth may be far below."""

DIVIDED_BYTES = 8 << 20
"""For what devices take that have a part of a model each; see compute.py."""

STAGED_COPIES = 3
"""Of what the host hands to several devices that work at once."""


def compute_bound(
    shape: Shape, setting: Setting, arrangement: Arrangement, widest_floats: int
) -> tuple[int, tuple[int, ...]]:
    """As `compute_bytes`: the host's compute buffers, and each device's.

    Args:
        widest_floats: See the function of that name.
    """
    tokens = padded(min(setting.padded_context, setting.micro_batch), setting.parallel)
    inputs = tokens * _mask_bytes(shape, setting)
    copies = PIPELINE_COPIES if len(arrangement.devices) > 1 and arrangement.whole else 1
    margin = _margin(shape)
    widest = int(margin * FLOAT_BYTES * tokens * widest_floats) + _results_bytes(
        shape, setting, tokens
    )
    embeddings = STAGED_EMBEDDINGS * tokens * shape.header.embedding * FLOAT_BYTES
    streams = int(1.5 * _per_layer_bytes(shape, tokens))
    passed = 0 if copies == 1 else copies * embeddings + streams
    device = widest + inputs * copies + passed + streams + copies * FIXED_BYTES
    device += _moved_weights(shape, arrangement)
    if len(arrangement.devices) > 1 or not arrangement.whole:
        device += DIVIDED_BYTES + (2 * inputs * copies if streams else 0)
    if arrangement.host.layers:  # the mask is there once more, for the layers that are not
        device += inputs + _moved_cache(shape, setting, arrangement)
    host = embeddings * (1 if copies == 1 else STAGED_COPIES)
    host += inputs * copies + 2 * streams + FIXED_BYTES
    if arrangement.host.layers or arrangement.experts_on_host or not arrangement.devices:
        host += widest
    compressed = shape.compressed and bool(arrangement.devices)
    times = (COMPRESSED_HOST, COMPRESSED_DEVICE) if compressed else (1, 1)
    return host * times[0], tuple(
        times[1] * (device + copies * _borrowed_caches(shape, setting, share))
        for share in arrangement.devices
    )


def _results_bytes(shape: Shape, setting: Setting, tokens: int) -> int:
    """The logits of every token, where a model that also writes embeds."""
    if not setting.embeds or shape.encoder:
        return 0
    return tokens * (shape.header.vocabulary + 2 * shape.header.embedding) * FLOAT_BYTES


def _margin(shape: Shape) -> float:
    if shape.compressed:
        return COMPRESSED_MARGIN
    return LATENT_MARGIN if shape.latent else MARGIN


def widest_floats(shape: Shape) -> int:
    """Numbers per token that are alive at once where a model is widest."""
    return max((_floats(shape, layer) for layer in shape.layers), default=0)


def _mask_bytes(shape: Shape, setting: Setting) -> int:
    """Per token of the micro batch: a mask over the cells, and one over a window's."""
    if not any(layer.key for layer in shape.layers):
        return setting.micro_batch * HALF_BYTES
    window = window_cells(shape, setting) if shape.window else 0
    return (setting.cells + window) * HALF_BYTES


def _per_layer_bytes(shape: Shape, tokens: int) -> int:
    """Inputs that each layer has of its own, all of them at once (Gemma 4 E2B and E4B)."""
    key = f"{shape.header.architecture}.embedding_length_per_layer_input"
    width = shape.header.metadata.get(key, 0)
    return int(width) * len(shape.layers) * tokens * FLOAT_BYTES if isinstance(width, int) else 0


def _floats(shape: Shape, layer: Layer) -> int:
    """Numbers per token that are alive at once in a layer's widest place."""
    embedding, query = shape.header.embedding, max(layer.query, layer.attended)
    attention = 2 * embedding + 3 * query + layer.key + layer.value
    dense = 4 * embedding + 3 * layer.feed_forward + query
    experts = shape.experts
    if experts is None or not layer.experts:
        return max(attention, dense, _recurrent_floats(layer, embedding))
    alive = experts.used * (2 * embedding + 2 * experts.width) + 3 * embedding
    return max(
        attention, dense, alive + 3 * experts.shared_width, _recurrent_floats(layer, embedding)
    )


def _recurrent_floats(layer: Layer, embedding: int) -> int:
    """The convolution's channels, several times over; they are the widest of its tensors."""
    if not layer.state:
        return 0
    return 4 * embedding + 3 * max(
        (max(t.shape) for t in layer.tensors if "ssm" in t.name), default=0
    )


def _moved_weights(shape: Shape, arrangement: Arrangement) -> int:
    """The largest weights that stay on the host and are copied to compute a large batch.

    Source: llama.cpp, op_offload, from 32 tokens on.
    """
    if not arrangement.devices:
        return 0
    left = [sum(t.size_bytes for t in shape.layers[i].tensors) for i in arrangement.host.layers]
    experts = [
        t.size_bytes
        for i, layer in enumerate(shape.layers)
        if i in arrangement.host.layers or not arrangement.keeps_experts(i)
        for t in layer.experts
    ]
    return max(left, default=0) + 3 * max(experts, default=0)


def _moved_cache(shape: Shape, setting: Setting, arrangement: Arrangement) -> int:
    """The largest cache that stays on the host and is copied to compute a large batch."""
    left = (shape.layers[i] for i in arrangement.host.layers)
    return max((kv_cache_bytes(shape, layer, setting) for layer in left), default=0)


def _borrowed_caches(shape: Shape, setting: Setting, share: Share) -> int:
    """Those that a device's layers read without having one of their own (Gemma 3n and 4).

    Each of these layers copies its own.
    """
    mine = (shape.layers[i] for i in share.layers)
    readers = [layer.windowed for layer in mine if layer.query and not layer.key]
    lent = {
        layer.windowed: kv_cache_bytes(shape, layer, setting)
        for layer in shape.layers[: share.first]
        if layer.key
    }
    return sum(lent.get(windowed, 0) for windowed in readers)
