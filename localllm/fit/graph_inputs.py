"""What comes before the first layer of a model's graph.

Source: llama.cpp, src/llama-graph.cpp (build_inp_embd) and src/models/gemma4.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from localllm.fit.graph_attention import Cells, cells_of
from localllm.fit.graph_nodes import (
    CELL_BYTES,
    POSITION_BYTES,
    Node,
    Op,
    changed,
    computed,
    given,
    part,
    reshaped,
)
from localllm.fit.graph_parts import Model, Weights, matmul, normed
from localllm.fit.graph_recurrent import States, states_of

SCALED_INPUT = frozenset({"gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "gemma-embedding"})


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all layers read."""

    position: Node
    full: Cells
    windowed: Cells
    states: States
    wanted: Node
    """Which tokens' logits are wanted."""

    per_layer: Node | None = None


def inputs_of(model: Model, weights: tuple[Weights, ...]) -> tuple[Node, Inputs]:
    """The tokens' embeddings, and what else all layers read.

    Args:
        weights: Where tokens are looked up; beside the first layer.
    """
    rows = _per_layer_rows(model, weights[0]) if model.recent else None
    residual = _embedded(model, weights[0])
    rows = rows or _per_layer_rows(model, weights[0])
    positions = 4 if "rope.dimension_sections" in model.keys else 1
    position = given(model.batch.tokens, number_bytes=POSITION_BYTES * positions)
    residual = _typed(weights[0], residual, position)
    inputs = Inputs(
        position,
        cells_of(model, windowed=False),
        cells_of(model, windowed=True),
        states_of(model),
        given(model.batch.outputs, number_bytes=POSITION_BYTES),
    )
    if rows is not None:
        rows = _scaled(model, rows)
        if not model.recent:
            model.graph.expand(rows)
        inputs = replace(inputs, per_layer=_per_layer(weights[1], residual, rows))
    return residual, inputs


def _per_layer_rows(model: Model, weights: Weights) -> Node | None:
    """Look up Gemma 4's inputs of all layers; None where there are none."""
    if "per_layer_token_embd.weight" not in weights:
        return None
    tokens, table = model.batch.tokens, weights.node("per_layer_token_embd.weight")
    wide = (table.shape[0], tokens)
    return model.graph.expand(
        computed(Op.ROWS, wide, table, given(tokens, number_bytes=POSITION_BYTES))
    )


def _embedded(model: Model, weights: Weights) -> Node:
    """Look up tokens; beside it what a batch of embeddings, or a mixed one, would need."""
    tokens, width, graph = model.batch.tokens, model.shape.header.embedding, model.graph
    table = weights.node("token_embd.weight")
    residual = computed(Op.ROWS, (width, tokens), table, given(tokens, number_bytes=POSITION_BYTES))
    graph.expand(residual)
    graph.expand(given(width, tokens))
    if model.recent:
        rows = computed(Op.ROWS, (width, tokens), table, given(tokens, number_bytes=POSITION_BYTES))
        copied = computed(Op.OTHER, (width, tokens), given(width, tokens))
        graph.expand(rows)
        graph.expand(copied)
        slots = given(tokens, number_bytes=CELL_BYTES)
        graph.expand(Node(Op.SET_ROWS, copied.shape, (rows, slots, copied), viewed=copied))
    if model.architecture in SCALED_INPUT:
        factors = (given(1, tokens),) if model.recent else ()
        residual = changed(Op.MUL if factors else Op.SCALE, residual, *factors)
    return residual


def _typed(weights: Weights, residual: Node, position: Node) -> Node:
    """Add what encoders add to a token's embedding, and normalise."""
    if "token_types.weight" in weights:
        first = part(weights.node("token_types.weight"), residual.shape[0])
        residual = changed(Op.ADD, residual, first)
    if "position_embd.weight" in weights:
        places = computed(Op.ROWS, residual.shape, weights.node("position_embd.weight"), position)
        residual = changed(Op.ADD, places, residual)
    if "token_embd_norm.weight" in weights:
        residual = normed(weights, "token_embd_norm", residual)
    return residual


def _scaled(model: Model, rows: Node) -> Node:
    width = model.number("embedding_length_per_layer_input")
    wide = (width, rows.shape[0] // width, model.batch.tokens)
    return changed(Op.SCALE, reshaped(rows, *wide))


def _per_layer(weights: Weights, residual: Node, rows: Node) -> Node:
    """Gemma 4's inputs of each layer, for all layers at once."""
    width, layers, tokens = rows.shape
    wide = changed(Op.SCALE, matmul(weights, "per_layer_model_proj", residual))
    wide = normed(weights, "per_layer_proj_norm", reshaped(wide, width, layers, tokens))
    both = changed(Op.SCALE, changed(Op.ADD, wide, rows))
    return computed(Op.OTHER, (width, tokens, layers), part(both, width, tokens, layers))
