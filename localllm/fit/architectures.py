"""What llama.cpp knows of an architecture and its files need not say: windows, state, no cache.

Source: llama.cpp, src/models/*.cpp (load_arch_hparams) and src/llama-model.cpp (create_memory),
October 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Windows:
    """Which layers see a sliding window only, where the file does not list them."""

    period: int
    """One layer in so many sees everything."""

    full_first: bool = False
    """The first of each period does, not the last."""

    window: int | None = None
    """Tokens, where the file does not say; None: without the key there is no window."""


WINDOWS: Mapping[str, Windows] = {
    "afmoe": Windows(4),
    "cohere2": Windows(4),
    "cohere2moe": Windows(4, full_first=True),
    "exaone-moe": Windows(4, window=128),
    "exaone4": Windows(4),
    "gemma2": Windows(2, window=4096),
    "gemma3": Windows(6),
    "gemma3n": Windows(5),
    "gemma-embedding": Windows(6),
    "gpt-oss": Windows(2),
    "laguna": Windows(4, full_first=True),
    "llama4": Windows(4, window=8192),
    "mellum": Windows(4),
    "modern-bert": Windows(3, full_first=True),
    "olmo2": Windows(4),
    "plamo3": Windows(8),
    "smallthinker": Windows(4, full_first=True),
}

LISTED_WINDOWS = frozenset({"gemma4", "granite-swa", "maple", "mimo2", "spark2_5", "step35"})
"""Architectures whose files list the layers with a window. All others have none, whatever their
files say: Phi's is switched off in llama.cpp (pull request 13676), Qwen's is not read."""

ALL_RECURRENT = frozenset({"mamba", "mamba2"})
BOTH_IN_EVERY_LAYER = frozenset({"falcon-h1"})
"""Attention and a recurrent part side by side."""

RECURRENT_WITHOUT_HEADS = frozenset(
    {"bailingmoe3", "granitehybrid", "jamba", "kimi-linear", "lfm2", "lfm2moe", "plamo2"}
)
"""A layer without key and value heads is recurrent."""

RECURRENT_WITHOUT_HEADS_AND_FEED_FORWARD = frozenset({"nemotron_h", "nemotron_h_moe"})

ATTENTION_INTERVAL: Mapping[str, int] = {
    "minimax-01": 8,
    "qwen35": 4,
    "qwen35moe": 4,
    "qwen3next": 4,
}
"""One layer in so many has attention, unless the file says otherwise; the others are recurrent."""

ENCODERS = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
    }
)
"""Read a text at once and keep nothing: no cache."""

WITHOUT_OUTPUT = ENCODERS - {"gemma-embedding"}
"""Encoders that load no output layer."""

OUTPUT_BEFORE_TABLE = frozenset({"gemma3n", "gemma4"})
"""They ask for their output layer first, so that a table that serves as both is there twice,
even where both are on the host."""

KEPT_LAYERS: Mapping[str, int] = {"gemma3n": 20}
"""Layers that have a cache of their own; the later ones use theirs."""

COMPRESSED = frozenset({"deepseek4"})

FOREIGN_KEYS = (
    "altup.",
    "attention.indexer.",
    "attention.relative_buckets_count",
    "decoder_block_count",
    "token_shift_count",
    "wkv.",
    "xlstm.",
)
"""Keys of models that keep state, or compute, in ways that are not covered here."""
