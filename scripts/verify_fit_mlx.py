"""Holds fit/mlx.py against mlx itself: run it with a Python that has `mlx` and `mlx-lm`.

Without arguments it writes models of random weights, SmolLM2-135M's shape among them, lets mlx-lm
read and write, and prints caches and peaks, predicted and real. Exits with 1 if one is off.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.generate import generate_step
from mlx_lm.models import llama
from mlx_lm.models.cache import make_prompt_cache

from localllm.catalog.facts import HyperParameters
from localllm.fit.mlx import Reading, cache_bytes, peak_bytes
from localllm.fit.outline import outline
from localllm.fit.shape import Shape, shape_of
from localllm.formats.header import Format, Header

MIB = 1 << 20
SHARE = 0.05
WRITTEN = 4


@dataclass(frozen=True, slots=True)
class Model:
    """A llama of random weights."""

    name: str
    layers: int
    embedding: int
    heads: int
    heads_kv: int
    feed_forward: int
    vocabulary: int
    bits: int | None = None


SMOLLM2 = Model("SmolLM2-135M", 30, 576, 9, 3, 1536, 49_152)
CASES = (
    (SMOLLM2, Reading(513, 512, fused=False)),
    (SMOLLM2, Reading(1025, 256, fused=False)),
    (Model("deep, 4 bits", 8, 512, 8, 2, 1536, 16_000, bits=4), Reading(257, 256, fused=False)),
    (Model("wide", 4, 512, 8, 2, 4096, 8192), Reading(2049, 256, fused=False)),
    (Model("wide", 4, 512, 8, 2, 4096, 8192), Reading(513, 512, kv_bits=8, fused=False)),
)


def main() -> int:
    wrong = 0
    print("| model | prompt | chunk | cache, MiB | mlx | peak, MiB | mlx | off |")
    print("|---|---|---|---|---|---|---|---|")
    for model, reading in CASES:
        real_cache, real_peak = measured(model, reading)
        shape = shape_for(model)
        cache, peak = cache_bytes(shape, _written(reading)), peak_bytes(shape, _written(reading))
        off = peak / real_peak - 1
        fits = cache == real_cache and abs(off) <= SHARE
        wrong += not fits
        print(
            f"| {model.name} | {reading.tokens} | {reading.chunk} | {cache / MIB:.2f}"
            f" | {real_cache / MIB:.2f} | {peak / MIB:.1f} | {real_peak / MIB:.1f}"
            f" | {100 * off:+.1f} %{'' if fits else ' OFF'} |",
            flush=True,
        )
    return 1 if wrong else 0


def measured(model: Model, reading: Reading) -> tuple[int, int]:
    """Bytes of the cache after a prompt and a few tokens, and the peak on the way."""
    mx.clear_cache()
    network = _network(model)
    mx.eval(network.parameters())
    mx.clear_cache()
    mx.reset_peak_memory()
    cache = make_prompt_cache(network)
    prompt = mx.array([1 + n % 1000 for n in range(reading.tokens)])
    for _ in generate_step(
        prompt,
        network,
        max_tokens=WRITTEN,
        prefill_step_size=reading.chunk,
        prompt_cache=cache,
        kv_bits=reading.kv_bits,
        quantized_kv_start=0,
    ):
        pass
    return sum(layer.nbytes for layer in cache), mx.get_peak_memory()


def shape_for(model: Model) -> Shape:
    """Make the shape from hyper-parameters and the bytes of the weights."""
    keys = {
        "block_count": model.layers,
        "embedding_length": model.embedding,
        "vocab_size": model.vocabulary,
        "feed_forward_length": model.feed_forward,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.heads_kv,
    }
    size = sum(array.nbytes for _, array in tree_flatten(_network(model).parameters()))
    header = outline(
        HyperParameters("llama", keys),
        name=model.name,
        quant=None,
        size_bytes=size,
        format=Format.MLX,
    )
    assert isinstance(header, Header)
    return shape_of(header)


def _network(model: Model) -> Any:  # noqa: ANN401
    network = llama.Model(
        llama.ModelArgs(
            model_type="llama",
            hidden_size=model.embedding,
            num_hidden_layers=model.layers,
            intermediate_size=model.feed_forward,
            num_attention_heads=model.heads,
            num_key_value_heads=model.heads_kv,
            rms_norm_eps=1e-5,
            vocab_size=model.vocabulary,
        )
    )
    network.set_dtype(mx.bfloat16)
    if model.bits:
        nn.quantize(network, group_size=64, bits=model.bits)
    return network


def _written(reading: Reading) -> Reading:
    return Reading(reading.tokens + WRITTEN, reading.chunk, reading.kv_bits, reading.fused)


if __name__ == "__main__":
    sys.exit(main())
