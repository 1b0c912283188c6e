"""What one model takes in one setting, in bytes: weights, cache, buffers. Formulas only.

For llama.cpp's server with flash attention, an f16 cache shared by all slots (`--kv-unified`)
and no drafts. On the CPU and for the llama architecture these are the numbers that the engine
logs; for whatever else was tried, they are not below it. Source of each: see its function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, prod

from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.graph import (
    DEVICE_ALIGNMENT,
    FLOAT_BYTES,
    HALF_BYTES,
    Batch,
    Width,
    device_compute_bytes,
    host_compute_bytes,
    staging_bytes,
)
from localllm.fit.plan import Memory
from localllm.formats.header import Header, Tensor

KV_TYPE = "f16"
CONTEXT_STEP = 256
"""llama.cpp rounds a context up to whole steps."""

TOKEN_TABLE = "token_embd.weight"  # noqa: S105
OUTPUT = "output.weight"
FILE_ALIGNMENT = 32
ROW_PADDING = 512
"""CUDA lengthens the last row of a quantized tensor to a multiple of this many elements."""

REPLAYED = frozenset(
    {"llama", "qwen2", "qwen3", "qwen3moe", "granite", "smollm3", "gemma", "phi3", "olmo2"}
    | {"command-r"}
)
"""Architectures whose buffer was measured to be that of graph.py, or smaller (with experts)."""

UNKNOWN_GRAPH = 1.3
"""Margin on the activations of all others; the worst known one is 22 % above its formula."""

FOREIGN_KEYS = (
    "ssm.",
    "wkv.",
    "shortconv.",
    "altup.",
    "xlstm.",
    "attention.kv_lora_rank",
    "attention.indexer.",
    "attention.relative_buckets_count",
    "attention.compress_ratios",
    "full_attention_interval",
)
"""Keys of models with another memory than keys and values of every token in every layer."""

FOREIGN_NUMBERS = ("attention.shared_kv_layers", "pooling_type", "decoder_block_count")
"""The same, where 0 means that the model is not so."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked of the engine."""

    context: int
    """Tokens, shared by all slots."""

    parallel: int
    micro_batch: int
    mixed_batches: bool = True
    """Whether the engine is as new as autumn 2026; see graph.staging_bytes."""

    @property
    def cells(self) -> int:
        """Of the cache. Source: llama.cpp, src/llama-context.cpp, GGML_PAD(n_ctx, 256)."""
        return -(-self.context // CONTEXT_STEP) * CONTEXT_STEP


def check_architecture(header: Header) -> None:
    """Refuse what these formulas do not cover.

    Raises:
        UnsupportedArchitecture: The model keeps other state, or is no text generator.
    """
    prefix = f"{header.architecture}."
    own = {k.removeprefix(prefix): v for k, v in header.metadata.items() if k.startswith(prefix)}
    foreign = [k for k in own if k.startswith(FOREIGN_KEYS)]
    foreign += [k for k in FOREIGN_NUMBERS if own.get(k)]
    if own.get("attention.causal") is False:
        foreign.append("attention.causal")
    if not header.heads or not any(header.heads_kv):
        foreign.append("attention.head_count")
    if foreign:
        raise UnsupportedArchitecture(
            f"Models of the architecture {header.architecture} cannot be planned yet.",
            why=f"{prefix}{foreign[0]} says that it is no text generator with plain attention",
            fix="choose a model with plain attention, such as Llama, Qwen3 or Mistral",
        )


def memory_alone(header: Header, setting: Setting) -> Memory:
    """Everything on the host, computed by the processor.

    Weights are counted once. Types that the processor has a better order for (q4_0, q4_k,
    iq4_nl) are logged twice if the engine maps the file, where the first copy is page cache
    that the kernel may drop; with `load_mode` none, or `no_extra_bufts`, once.
    """
    return Memory(
        weights=sum(_padded(t.size_bytes, FILE_ALIGNMENT) for t in header.tensors),
        kv_cache=kv_cache_bytes(header, setting),
        compute=_bounded(header, setting, host_compute_bytes),
        output=output_bytes(header, setting),
    )


def memory_beside(header: Header, setting: Setting) -> Memory:
    """What the host takes when a device has all layers: it looks up tokens and takes logits."""
    width, batch = _width(header), _batch(header, setting)
    table = sum(t.size_bytes for t in header.tensors if t.name == TOKEN_TABLE)
    return Memory(
        weights=_padded(table, FILE_ALIGNMENT),
        kv_cache=0,
        compute=staging_bytes(width, batch, mixed_batches=setting.mixed_batches),
        output=output_bytes(header, setting),
    )


def memory_on_device(header: Header, setting: Setting) -> Memory:
    """What a device takes that has all layers.

    The token table is there a second time if it serves as the output layer.
    Source: llama.cpp, src/models/llama.cpp, TENSOR_DUPLICATED.
    """
    tied = is_tied(header)
    return Memory(
        weights=sum(_device_bytes(t) for t in header.tensors if tied or t.name != TOKEN_TABLE),
        kv_cache=kv_cache_bytes(header, setting),
        compute=_bounded(header, setting, device_compute_bytes),
        output=0,
    )


def kv_cache_bytes(header: Header, setting: Setting) -> int:
    """Keys and values of every cell in every layer, as f16.

    Layers with a sliding window are counted in full, which is more than they take.
    Source: llama.cpp, src/llama-kv-cache.cpp.
    """
    key, value = _head_dims(header)
    return setting.cells * sum(header.heads_kv) * (key + value) * HALF_BYTES


def output_bytes(header: Header, setting: Setting) -> int:
    """The logits of one token per slot. Source: llama-context.cpp, output_reserve."""
    return setting.parallel * header.vocabulary * FLOAT_BYTES


def is_tied(header: Header) -> bool:
    """Tell whether the token table is the output layer as well."""
    return all(t.name != OUTPUT for t in header.tensors)


def read_per_token_bytes(header: Header) -> int:
    """Weights that one token of one stream goes through; of experts, only those in use."""
    tied = is_tied(header)
    used, experts = _number(header, "expert_used_count"), _number(header, "expert_count")
    total = 0
    for tensor in header.tensors:
        if tensor.name == TOKEN_TABLE and not tied:
            continue
        share = used / experts if experts and used and "_exps" in tensor.name else 1.0
        total += int(tensor.size_bytes * share)
    return total


def _head_dims(header: Header) -> tuple[int, int]:
    """Key and value dimensions of a head; the larger, where windowed layers have others."""
    key = max(header.key_dim, _number(header, "attention.key_length_swa"))
    value = max(header.value_dim, _number(header, "attention.value_length_swa"))
    return key, value


def _width(header: Header) -> Width:
    key, value = _head_dims(header)
    heads_kv = max(header.heads_kv)
    return Width(
        embedding=header.embedding,
        query=header.heads * key,
        key=heads_kv * key,
        value=heads_kv * value,
        attended=header.heads * value,
        feed_forward=_feed_forward(header),
        logits=header.vocabulary,
    )


def _feed_forward(header: Header) -> int:
    """Width between the two halves of the feed-forward part.

    With experts, what is three times as wide as all that is alive at once, a formula fitted to
    Qwen3-30B-A3B, Qwen3.5-35B-A3B and gpt-oss-20b.
    """
    dense = header.feed_forward or _widest_feed_forward(header)
    if not _number(header, "expert_count"):
        return dense
    expert = _number(header, "expert_feed_forward_length") or dense
    shared = _number(header, "expert_shared_feed_forward_length")
    alive = _number(header, "expert_used_count") * 2 * (header.embedding + expert)
    return max(dense, -(-alive // 3) + shared)


def _widest_feed_forward(header: Header) -> int:
    widths = [t.shape[0] for t in header.tensors if t.name.endswith("ffn_down.weight")]
    return max(widths, default=4 * header.embedding)


def _batch(header: Header, setting: Setting) -> Batch:
    """What the engine reserves for: a micro batch, made divisible among the slots.

    Source: llama.cpp, src/llama-context.cpp, graph_reserve.
    """
    return Batch(
        tokens=_padded(min(setting.context, setting.micro_batch), setting.parallel),
        cells=setting.cells,
        outputs=setting.parallel,
        masks=2 if _number(header, "attention.sliding_window") else 1,
    )


def _bounded(header: Header, setting: Setting, replay: Callable[[Width, Batch, int], int]) -> int:
    """Replay the graph, with a margin where the architecture's own differs from it."""
    batch = _batch(header, setting)
    replayed = replay(_width(header), batch, header.layers)
    plain = header.architecture in REPLAYED
    return (
        replayed if plain else int(UNKNOWN_GRAPH * (replayed - batch.mask_bytes)) + batch.mask_bytes
    )


def _number(header: Header, key: str) -> int:
    """Read one of the architecture's own numbers; 0 where the file has none, or none that counts."""
    found = header.metadata.get(f"{header.architecture}.{key}", 0)
    return int(found) if isinstance(found, int | float) and isfinite(found) else 0


def _device_bytes(tensor: Tensor) -> int:
    """Source: ggml/src/ggml-cuda/ggml-cuda.cu, buffer_type_get_alloc_size."""
    elements = prod(tensor.shape)
    missing = -tensor.shape[0] % ROW_PADDING
    return _padded(tensor.size_bytes + missing * tensor.size_bytes // elements, DEVICE_ALIGNMENT)


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
