"""What a header implies for each layer: windows, recurrent state, cached heads.

Source: llama.cpp, src/llama-hparams.cpp and src/models/*.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from localllm.fit.architectures import (
    ALL_RECURRENT,
    ATTENTION_INTERVAL,
    BOTH_IN_EVERY_LAYER,
    COMPRESSED,
    ENCODERS,
    FOREIGN_KEYS,
    KEPT_LAYERS,
    LISTED_WINDOWS,
    RECURRENT_WITHOUT_HEADS,
    RECURRENT_WITHOUT_HEADS_AND_FEED_FORWARD,
    WINDOWS,
)
from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.keys import Keys
from localllm.formats.header import Header

DEFAULT_CHUNK = 8192
INDEXED_COMPRESSION = 4
"""DeepSeek V4's layers that compress so little are searched through an index of keys."""


def check_covered(header: Header, keys: Keys) -> None:
    """Refuse a model that these rules would get wrong.

    Raises:
        UnsupportedArchitecture: It keeps, or computes, what no formula here covers.
    """
    foreign = [k for k in keys if k.startswith(FOREIGN_KEYS)]
    if header.architecture in COMPRESSED:
        foreign = [k for k in foreign if not k.startswith("attention.indexer.")]
    if header.architecture not in ENCODERS and keys.says_no("attention.causal"):
        foreign.append("attention.causal")
    plain = header.heads and any(header.heads_kv)
    if not plain and header.architecture not in ALL_RECURRENT:
        foreign.append("attention.head_count")
    if foreign:
        raise UnsupportedArchitecture(
            f"Models of the architecture {header.architecture} cannot be planned yet.",
            why=f"{header.architecture}.{foreign[0]} tells of memory that no formula here covers",
            fix="choose another model, or a newer localllm",
        )


def window_tokens(header: Header, keys: Keys) -> int:
    """How far back layers with a window see; 0 where no layer has one."""
    architecture = header.architecture
    rule = WINDOWS.get(architecture)
    if rule is None and architecture not in LISTED_WINDOWS | COMPRESSED:
        return 0
    if architecture == "llama4":  # chunks of a fixed length, unless the file says there are none
        return (
            DEFAULT_CHUNK
            if keys.number("attention.sliding_window")
            or ("attention.sliding_window" not in set(keys))
            else 0
        )
    return keys.number("attention.sliding_window") or (rule.window or 0 if rule else 0)


def windowed_layers(header: Header, keys: Keys, window: int) -> Callable[[int], bool]:
    """Which layers see the window only."""
    listed = keys.listed("attention.sliding_window_pattern")
    rule = WINDOWS.get(header.architecture)
    if not window:
        return lambda _: False
    if header.architecture in COMPRESSED:
        return lambda _: True
    if listed is not None:
        return lambda i: i < len(listed) and bool(listed[i])
    if rule is None:
        return lambda _: False
    period = keys.number("attention.sliding_window_pattern") or rule.period
    full_at = 0 if rule.full_first else period - 1
    return lambda i: i % period != full_at


def recurrent_layers(header: Header, keys: Keys) -> Callable[[int], bool]:
    """Which layers keep a state per slot."""
    architecture = header.architecture
    if architecture in ALL_RECURRENT | BOTH_IN_EVERY_LAYER:
        return lambda _: True
    if architecture in RECURRENT_WITHOUT_HEADS:
        return lambda i: not header.heads_kv[i]
    if architecture in RECURRENT_WITHOUT_HEADS_AND_FEED_FORWARD:
        return lambda i: not header.heads_kv[i] and not keys.at("feed_forward_length", i)
    if architecture in ATTENTION_INTERVAL:
        listed = keys.listed("attention.recurrent_layers")
        if listed is not None:
            return lambda i: i < len(listed) and bool(listed[i])
        interval = keys.number("full_attention_interval") or ATTENTION_INTERVAL[architecture]
        return lambda i: (i + 1) % interval != 0
    return lambda _: False


def kept_layers(header: Header, keys: Keys) -> int:
    """Count the layers with a cache of their own; later ones read theirs."""
    shared = keys.number("attention.shared_kv_layers")
    return KEPT_LAYERS.get(header.architecture, header.layers - shared)


def head_dims(header: Header, keys: Keys, *, windowed: bool) -> tuple[int, int]:
    """Dimensions of a head's keys and values; layers with a window may have others."""
    if not windowed:
        return header.key_dim, header.value_dim
    return (
        keys.number("attention.key_length_swa") or header.key_dim,
        keys.number("attention.value_length_swa") or header.value_dim,
    )


def heads_of(header: Header, keys: Keys, i: int) -> int:
    """How many heads ask in a layer."""
    listed = keys.listed("attention.head_count")
    return header.heads if listed is None else keys.at("attention.head_count", i)


def keeps_keys_only(header: Header, keys: Keys) -> bool:
    """Tell whether values are read from the cached keys (MLA, DeepSeek V4)."""
    return keys.number("attention.key_length_mla") > 0 or header.architecture in COMPRESSED


def state_numbers(header: Header, keys: Keys) -> int:
    """Numbers that a recurrent layer keeps per slot, as F32: its convolution's and its own.

    Source: llama.cpp, src/llama-hparams.cpp, n_embd_r and n_embd_s.
    """
    if shortconv := keys.number("shortconv.l_cache"):
        return header.embedding * (shortconv - 1)
    if head := keys.number("kda.head_dim"):
        inner = header.heads * head
        return 3 * ((keys.number("ssm.conv_kernel") or 4) - 1) * inner + head * inner
    if header.architecture == "minimax-01":
        return header.key_dim * header.key_dim * header.heads
    inner, size = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    conv = max(0, keys.number("ssm.conv_kernel") - 1)
    return conv * (inner + 2 * keys.number("ssm.group_count") * size) + size * inner


def compressor_numbers(header: Header, keys: Keys, i: int) -> int:
    """What DeepSeek V4 keeps of tokens that do not make up a cell yet, keys and scores.

    Source: llama.cpp, src/llama-kv-cache-dsv4.cpp, llama_dsv4_comp_state.
    """
    if header.architecture not in COMPRESSED:
        return 0
    tokens = keys.at("attention.compress_ratios", i)
    if tokens != INDEXED_COMPRESSION:
        return 2 * header.key_dim * tokens
    return 2 * 2 * tokens * 2 * (header.key_dim + keys.number("attention.indexer.key_length"))
