"""What a model takes in mlx-lm, in bytes. Formulas only.

mlx keeps weights as the files hold them and grows its caches with the text; what it computes is
freed again, so a peak is reached while the last part of a long prompt is read. Cache sizes are
mlx-lm's to the byte; activations were fitted to mlx 0.32 on a processor (see docs/fit.md), and
nothing here was held against Metal.

Source: mlx-lm 0.32, models/cache.py and generate.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from localllm.fit.cache import FLOAT_BYTES, padded
from localllm.fit.shape import Layer, Shape

STEP = 256
"""Tokens by which a cache grows."""

CHUNK = 2048
"""Tokens of a prompt that mlx-lm reads at a time, unless told otherwise (prefill_step_size)."""

HALF_BYTES = 2
SCALE_BITS = 32
GROUP = 64
"""Numbers of a quantized cache that share a scale and a zero point, of 16 bits each."""

PER_WIDTH = 42
"""Bytes per token and embedding number: 21 values of 16 bits of a layer, alive at once. Fitted."""

PER_FEED_FORWARD = 4
"""Bytes per token and number between the halves of the feed-forward part: gate and up. Fitted."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a text has come, and how it is read."""

    tokens: int
    chunk: int = CHUNK
    kv_bits: int | None = None
    """Of a quantized cache; None: 16 bits."""

    fused: bool = True
    """Attention in one piece, as on Metal; a processor holds a number per token and token."""


def peak_bytes(shape: Shape, reading: Reading) -> int:
    """The most that is allocated at once: weights, caches, and what a chunk needs beside them."""
    kept = shape.header.weights_bytes + cache_bytes(shape, reading)
    return kept + activation_bytes(shape, reading)


def cache_bytes(shape: Shape, reading: Reading) -> int:
    """Keys, values and state of all layers after so many tokens of one text.

    At most, for recurrent layers: a part that counts 4 bytes here may be kept in 2.
    """
    return sum(_layer_bytes(shape, layer, reading) for layer in shape.layers)


def activation_bytes(shape: Shape, reading: Reading) -> int:
    """What one layer computes for a chunk, and the copy of its cache while that grows."""
    tokens = min(reading.chunk, reading.tokens)
    widths = PER_WIDTH * shape.header.embedding + PER_FEED_FORWARD * _widest(shape)
    scores = 0 if reading.fused else shape.header.heads * reading.tokens * HALF_BYTES
    grown = max(_layer_bytes(shape, layer, reading) for layer in shape.layers)
    return max(tokens * (widths + scores), grown)


def _layer_bytes(shape: Shape, layer: Layer, reading: Reading) -> int:
    held = padded(reading.tokens, STEP)
    if layer.windowed:  # a window never grows beyond itself and the chunk that it was read with
        held = min(held, shape.window + reading.chunk - 1)
    bits = 8 * HALF_BYTES if reading.kv_bits is None else reading.kv_bits + SCALE_BITS / GROUP
    return int(held * (layer.key + layer.value) * bits / 8) + layer.state * FLOAT_BYTES


def _widest(shape: Shape) -> int:
    """Of a layer's feed-forward part, its experts in use taken together."""
    dense = max(layer.feed_forward for layer in shape.layers)
    if shape.experts is None:
        return dense
    return max(dense, shape.experts.used * shape.experts.width + shape.experts.shared_width)
