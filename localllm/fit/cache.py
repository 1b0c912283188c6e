"""What a model keeps between tokens, in bytes: keys and values, recurrent state. Formulas only.

Source: llama.cpp, src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-kv-cache-dsv4.cpp and
llama-memory-recurrent.cpp; held against the engine's log by scripts/verify_fit.
"""

from __future__ import annotations

from dataclasses import dataclass

from localllm.fit.rules import INDEXED_COMPRESSION
from localllm.fit.shape import Layer, Shape
from localllm.formats.quantization import STORAGE_TYPES

CONTEXT_STEP = 256
"""llama.cpp rounds a context, and a window's cells, up to whole steps."""

FLOAT_BYTES = 4
CELL_BYTES = 12
"""What is written of a cell beside its keys and values: its position and its slot."""

CHECKPOINTS = 3
"""Earlier states kept for each slot, where a cache cannot be cut back to any place. The fewest that
serve the next turn, one turn back, and a new conversation with the same system prompt; with none,
whatever differs from what was generated has all of a prompt read again. Tried on xllamacpp
2026.10.11549, with tiny models of ten architectures; llama.cpp's own default is 32."""

KV_TYPES = {t.name: t for t in STORAGE_TYPES.values() if t.name in ("f16", "q8_0", "q4_0")}
"""What keys and values can be stored as: 16, 8.5 and 4.5 bits per number."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is asked of the engine."""

    context: int
    """Tokens; shared by all slots where the cache is unified, else divided among them."""

    parallel: int
    micro_batch: int
    kv_type: str = "f16"
    unified: bool = True
    """One pool of cells for all slots (`--kv-unified`)."""

    rollback: int = 0
    """Earlier states that a recurrent layer keeps for each slot, so that guesses can be taken back."""

    embeds: bool = False
    """Every token's result is wanted, since texts become vectors; else one token's of each slot."""

    checkpoints: int = 0
    """Earlier states of each slot that are kept on the host, to go back to (`--ctx-checkpoints`)."""

    @property
    def streams(self) -> int:
        return 1 if self.unified else self.parallel

    @property
    def cells(self) -> int:
        """Cells of one stream. Source: llama.cpp, src/llama-context.cpp, n_ctx_seq."""
        return padded(-(-self.padded_context // self.streams), CONTEXT_STEP)

    @property
    def padded_context(self) -> int:
        return padded(self.context, CONTEXT_STEP)


def can_be_quantized(shape: Shape) -> bool:
    """Whether a head's keys and values divide into blocks; else llama.cpp refuses the cache.

    Source: llama.cpp, src/llama-context.cpp, llama_init_from_model.
    """
    header = shape.header
    block = KV_TYPES["q8_0"].block
    cached = any(layer.key for layer in shape.layers)
    return cached and not header.key_dim % block and not header.value_dim % block


def padded(size: int, step: int) -> int:
    """Round up to whole steps."""
    return -(-size // step) * step


def window_cells(shape: Shape, setting: Setting) -> int:
    """Cells of one stream of the layers that keep a window: it, and a micro batch on top.

    Source: llama.cpp, src/llama-kv-cache-iswa.cpp, size_swa.
    """
    windows = setting.parallel if setting.unified else 1
    wanted = shape.window * windows + setting.micro_batch
    return padded(min(setting.cells, wanted), CONTEXT_STEP)


def kv_cache_bytes(shape: Shape, layer: Layer, setting: Setting) -> int:
    """Keys and values of one layer.

    Shape: streams x cells x (key + value numbers), each of the cache's type.
    """
    if shape.encoder:
        return 0
    if shape.compressed:
        return _compressed_cache_bytes(shape, layer, setting)
    cells = window_cells(shape, setting) if layer.windowed else setting.cells
    row = _row_bytes(setting.kv_type, layer.key) + _row_bytes(setting.kv_type, layer.value)
    return setting.streams * cells * row


def state_bytes(layer: Layer, setting: Setting) -> int:
    """A recurrent layer's state, one per slot and for each that it can go back to."""
    return layer.state * FLOAT_BYTES * setting.parallel * (1 + setting.rollback)


def checkpoint_bytes(shape: Shape, setting: Setting) -> int:
    """One checkpoint of one slot: what cannot be cut back, as the engine copies it to the host.

    Shape: the state of all recurrent layers, and a window of cells of all layers that have one;
    0 where every layer keeps every token.

    Source: llama.cpp, tools/server, create_checkpoint, with LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY;
    held against the sizes that it logs in test_checkpoints.py.
    """
    if shape.encoder:
        return 0
    state = sum(layer.state for layer in shape.layers) * FLOAT_BYTES
    return state + window_held(shape, setting) * window_row_bytes(shape, setting)


def window_held(shape: Shape, setting: Setting) -> int:
    """Tokens of a window, as far as the context has so many."""
    return min(shape.window, setting.padded_context)


def window_row_bytes(shape: Shape, setting: Setting) -> int:
    """One token in all the layers that keep a window; 0 where there are none."""
    rows = sum(
        _row_bytes(setting.kv_type, layer.key) + _row_bytes(setting.kv_type, layer.value)
        for layer in shape.layers
        if layer.windowed
    )
    return rows + CELL_BYTES if rows else 0


def checkpoints_bytes(shape: Shape, setting: Setting) -> int:
    """All checkpoints of all slots; they come with the prompts, not with the load."""
    return setting.parallel * setting.checkpoints * checkpoint_bytes(shape, setting)


def _row_bytes(kv_type: str, numbers: int) -> int:
    storage = KV_TYPES[kv_type]
    return -(-numbers // storage.block) * storage.block_bytes


def _compressed_cache_bytes(shape: Shape, layer: Layer, setting: Setting) -> int:
    """DeepSeek V4: a window of keys per slot, and a cell for every few tokens before it.

    Slots never share it, though the cache may be unified. Source: llama-kv-cache-dsv4.cpp.
    """
    context = setting.cells
    window = padded(min(context, shape.window + setting.micro_batch), CONTEXT_STEP)
    row = _row_bytes(setting.kv_type, layer.key)
    size = window * row
    if layer.compression:
        cells = padded(-(-context // layer.compression), CONTEXT_STEP)
        size += cells * row
        if layer.compression == INDEXED_COMPRESSION:
            size += cells * _row_bytes(setting.kv_type, shape.indexer)
    return setting.parallel * size
