"""What a plain transformer's graph takes while it computes, in llama.cpp's compute buffers.

The graph is walked in the order in which llama.cpp expands it, and each result is put where
its allocator would put it, because the holes that are left over are a fifth of the buffer.
Flash attention on, one unified cache, the logits of one token per slot.

Exact for the llama architecture on the CPU, checked against the log of xllamacpp 2026.10
for 159 shapes; see tests/integration/test_prediction.py.
Source: llama.cpp, src/models/llama.cpp and src/llama-graph.cpp, with GGML_SCHED_DEBUG=2.
"""

from __future__ import annotations

from dataclasses import dataclass

from localllm.fit.allocator import Block, Pool

FLOAT_BYTES = 4
HALF_BYTES = 2
CPU_ALIGNMENT = 32
DEVICE_ALIGNMENT = 256
"""The largest that a backend asks for; CUDA's is 128."""

STEADY_LAYERS = 3
"""The first layer and the last are special; after the second, nothing new happens."""

POSITION_BYTES = 4
CELL_BYTES = 8 + 8
"""Where a token's keys and where its values go in the cache, as i64."""

TOKEN_BYTES = 4
MIXED_TOKEN_BYTES = 4 + 8
"""Token id and place of the branch that mixes tokens with embeddings (builds of autumn 2026)."""

OUTPUT_ID_BYTES = 4


@dataclass(frozen=True, slots=True)
class Width:
    """Numbers per token, in the widest layer, of what a layer computes."""

    embedding: int
    query: int
    key: int
    value: int
    attended: int
    """What attention gives: heads x value_dim."""

    feed_forward: int
    logits: int


@dataclass(frozen=True, slots=True)
class Batch:
    """How much is computed at a time."""

    tokens: int
    """The micro batch, or the context where that is smaller."""

    cells: int
    """Of the cache; each token has a mask over all of them."""

    outputs: int
    """Tokens whose logits are wanted: one per slot."""

    masks: int = 1
    """2 where some layers see a sliding window only."""

    @property
    def mask_bytes(self) -> int:
        return self.masks * self.tokens * self.cells * HALF_BYTES

    @property
    def row_inputs_bytes(self) -> int:
        """Positions and cache cells."""
        return self.tokens * (POSITION_BYTES + self.masks * CELL_BYTES)


def host_compute_bytes(width: Width, batch: Batch, layers: int) -> int:
    """Compute buffer of a model that is on the host as a whole."""
    pool = Pool(CPU_ALIGNMENT)
    embeddings = width.embedding * FLOAT_BYTES * batch.tokens
    token_ids = pool.take(TOKEN_BYTES * batch.tokens)
    pool.take(embeddings)  # instead of tokens, for a projector; part of the graph in any case
    mixed_ids = pool.take(4 * batch.tokens)
    mixed = pool.take(embeddings)
    mixed_places = pool.take(8 * batch.tokens)
    _take_inputs(pool, batch)
    residual = pool.take(embeddings)
    pool.give(token_ids)
    mixed_rows = pool.take(embeddings)
    pool.give(mixed_ids)
    pool.take(embeddings)  # the mixed batch, which nothing reads, so that it is never freed
    for block in (mixed, mixed_rows, mixed_places):
        pool.give(block)
    return _peak_after(pool, width, batch, layers, residual)


def device_compute_bytes(width: Width, batch: Batch, layers: int) -> int:
    """Compute buffer of a device that has all layers; the token table stays on the host.

    The larger of the graph in llama.cpp's own order and of the order that the Vulkan backend
    makes of it, a bound measured with 100 shapes.
    """
    pool = Pool(DEVICE_ALIGNMENT)
    residual = pool.take(width.embedding * FLOAT_BYTES * batch.tokens)
    _take_inputs(pool, batch)
    replayed = _peak_after(pool, width, batch, layers, residual)
    inputs = batch.mask_bytes + batch.row_inputs_bytes + OUTPUT_ID_BYTES * batch.outputs
    reordered = inputs + FLOAT_BYTES * batch.tokens * _reordered_floats(width)
    return max(replayed, reordered + 8 * DEVICE_ALIGNMENT)


def staging_bytes(width: Width, batch: Batch, *, mixed_batches: bool = True) -> int:
    """Compute buffer of the host beside a device: the inputs, and the tokens' embeddings.

    Args:
        mixed_batches: Whether the build can mix tokens with embeddings in a batch: seen in
            11549, not yet in 10434.
    """
    embeddings = 5 if mixed_batches else 2
    ids = TOKEN_BYTES + (MIXED_TOKEN_BYTES if mixed_batches else 0)
    rows = batch.tokens * (embeddings * width.embedding * FLOAT_BYTES + ids)
    inputs = batch.mask_bytes + batch.row_inputs_bytes + OUTPUT_ID_BYTES * batch.outputs
    return rows + inputs + 8 * CPU_ALIGNMENT


def _take_inputs(pool: Pool, batch: Batch) -> None:
    pool.take(POSITION_BYTES * batch.tokens)
    for _ in range(batch.masks):
        pool.take(8 * batch.tokens)
        pool.take(8 * batch.tokens)
        pool.take(batch.mask_bytes // batch.masks)
    pool.take(OUTPUT_ID_BYTES * batch.outputs)


def _peak_after(pool: Pool, width: Width, batch: Batch, layers: int, residual: Block) -> int:
    """Walk the layers and the output; the last layer goes on with the wanted tokens only."""
    row, wanted = FLOAT_BYTES * batch.tokens, FLOAT_BYTES * batch.outputs
    for _ in range(min(layers, STEADY_LAYERS) - 1):
        attended = _attention(pool, width, row)
        pool.give(residual)
        residual = _feed_forward(pool, width, row, attended)
    attended = _replaced(pool, _attention(pool, width, row), width.embedding * wanted)
    pool.give(_replaced(pool, residual, width.embedding * wanted))
    _feed_forward(pool, width, wanted, attended)
    pool.take(width.logits * wanted)
    return pool.peak


def _attention(pool: Pool, width: Width, row: int) -> Block:
    normed = pool.take(width.embedding * row)
    query = _replaced(pool, pool.take(width.query * row), width.query * row)
    value, key = pool.take(width.value * row), pool.take(width.key * row)
    pool.give(normed)
    pool.give(_replaced(pool, key, width.key * row))
    pool.give(value)
    attended = pool.take(width.attended * row)
    pool.give(query)
    return _replaced(pool, attended, width.embedding * row)


def _feed_forward(pool: Pool, width: Width, row: int, residual: Block) -> Block:
    normed = pool.take(width.embedding * row)
    gate, up = pool.take(width.feed_forward * row), pool.take(width.feed_forward * row)
    pool.give(normed)
    product = pool.take(width.feed_forward * row)
    pool.give(gate)
    pool.give(up)
    down = _replaced(pool, product, width.embedding * row)
    pool.give(residual)
    return down


def _replaced(pool: Pool, source: Block, size: int) -> Block:
    """Compute one result from another, which is not needed any more."""
    result = pool.take(size)
    pool.give(source)
    return result


def _reordered_floats(width: Width) -> int:
    embedding, query = width.embedding, max(width.query, width.attended)
    feed_forward = 3 * width.feed_forward + 2 * embedding
    if query != embedding:  # equal sizes fill each other's holes
        feed_forward += max(query, 2 * min(query, embedding))
    return max(feed_forward, 2 * embedding + 2 * query + width.key + width.value)
