"""A whole model's graph: inputs, layers, output, in llama.cpp's order.

Source: llama.cpp, src/llama-graph.cpp (build_inp_embd) and src/models/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localllm.fit.cache import Setting
from localllm.fit.graph_attention import attention, gated_attention, shared_attention
from localllm.fit.graph_inputs import Inputs, inputs_of
from localllm.fit.graph_latent import latent_attention
from localllm.fit.graph_nodes import (
    Graph,
    Node,
    Op,
    changed,
    computed,
    part,
)
from localllm.fit.graph_parts import (
    Batch,
    Model,
    Routing,
    Weights,
    biased,
    feed_forward,
    matmul,
    mixture,
    normed,
)
from localllm.fit.graph_recurrent import delta_net, mamba2
from localllm.fit.shape import Layer, Shape
from localllm.formats.header import Value

GATED = frozenset({"qwen3next", "qwen35", "qwen35moe"})
UNNORMALISED = frozenset({"gpt-oss", "qwen2moe", "llama4"})
SHARED_TAIL = "_shexp"


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a layer is, and where its experts are, as numbers of backends."""

    layer: Layer
    place: int
    experts_place: int
    cache_place: int


def graph_of(
    shape: Shape, setting: Setting, placed: Sequence[Placed], ends: tuple[int, int], *, mixed: bool
) -> Graph:
    """The graph of one full batch.

    Args:
        placed: The layers to be computed; of many that are alike a few will do.
        ends: Backends of the token table (the host) and of the output layer.
        mixed: Whether the build can mix tokens with embeddings in one batch.
    """
    model = Model(shape, setting, batch_of(setting), _own_keys(shape), mixed)
    globals_ = _global_weights(shape, ends, placed[0].place)
    residual, inputs = inputs_of(model, globals_)
    for here in placed:
        weights = _weights_of(here)
        last = here is placed[-1] and not _all_wanted(model)
        residual = _layer(model, here, weights, (residual, inputs), last=last)
    _output(model, globals_[2], residual)
    return model.graph


def batch_of(setting: Setting) -> Batch:
    """What the engine reserves for: a micro batch, made divisible among the slots.

    Source: llama.cpp, src/llama-context.cpp, graph_reserve.
    """
    tokens = min(setting.padded_context, setting.micro_batch)
    tokens = -(-tokens // setting.parallel) * setting.parallel
    outputs = tokens if setting.embeds else min(tokens, setting.parallel)
    return Batch(tokens, setting.parallel, outputs)


def _all_wanted(model: Model) -> bool:
    return model.batch.outputs == model.batch.tokens


def _own_keys(shape: Shape) -> Mapping[str, Value]:
    prefix = f"{shape.header.architecture}."
    metadata = shape.header.metadata
    return {k.removeprefix(prefix): v for k, v in metadata.items() if k.startswith(prefix)}


def _global_weights(
    shape: Shape, ends: tuple[int, int], first: int
) -> tuple[Weights, Weights, Weights]:
    """What is no layer's: where tokens are looked up, in the first layer, in the output layer."""
    named = {t.name: t for t in (*shape.input_tables, *shape.entry, *shape.output_tensors)}
    return (
        Weights(named, ends[0], ends[0]),
        Weights(named, first, first),
        Weights(named, ends[1], ends[1]),
    )


def _weights_of(here: Placed) -> Weights:
    tensors = (*here.layer.tensors, *here.layer.experts)
    by_name = {t.name.split(".", 2)[2]: t for t in tensors}
    return Weights(by_name, here.place, here.experts_place, here.cache_place)


def _layer(
    model: Model, here: Placed, weights: Weights, read: tuple[Node, Inputs], *, last: bool
) -> Node:
    residual, inputs = read
    source = residual
    if "attn_norm.weight" in weights:
        source = normed(weights, "attn_norm", residual)
    if model.architecture in GATED:
        model.graph.expand(source)
    mixed = _mixed(model, here, weights, source, inputs)
    if last:
        mixed, residual = (_picked(n, inputs.wanted) for n in (mixed, residual))
    if model.shape.encoder:
        return _encoded(weights, mixed, residual)
    if "post_attention_norm.weight" in weights and "ffn_norm.weight" in weights:
        mixed = normed(weights, "post_attention_norm", mixed)
    residual = computed(Op.ADD, mixed.shape, mixed, residual)
    if not any("ffn_" in n for n in weights.tensors):
        return residual
    result = _second_half(model, weights, residual)
    result = computed(Op.ADD, residual.shape, result, residual)
    if inputs.per_layer is not None:
        result = _with_own_input(weights, result, inputs.per_layer, inputs.wanted if last else None)
    if "layer_output_scale.weight" in weights:
        result = changed(Op.MUL, result, weights.node("layer_output_scale.weight"))
    return result


def _picked(source: Node, wanted: Node) -> Node:
    return computed(Op.ROWS, (source.shape[0], wanted.shape[0]), source, wanted)


def _mixed(model: Model, here: Placed, weights: Weights, source: Node, inputs: Inputs) -> Node:
    """What mixes tokens: attention of some kind, or a recurrent net."""
    cells = inputs.windowed if here.layer.windowed else inputs.full
    if "ssm_in.weight" in weights:
        return mamba2(model, weights, source, inputs.states)
    if here.layer.state:
        return delta_net(model, weights, source, inputs.states)
    if model.shape.latent:
        return latent_attention(model, weights, source, inputs.position, cells)
    if model.architecture in GATED:
        return gated_attention(model, here.layer, weights, source, inputs.position, cells)
    if model.architecture == "gemma4":
        return shared_attention(model, here.layer, weights, source, inputs.position, cells)
    return attention(model, here.layer, weights, source, inputs.position, cells)


def _encoded(weights: Weights, mixed: Node, residual: Node) -> Node:
    """Norms after the sums, as in the first transformers."""
    mixed = computed(Op.ADD, mixed.shape, mixed, residual)
    mixed = normed(weights, "attn_output_norm", mixed)
    result = computed(Op.ADD, mixed.shape, feed_forward(weights, mixed), mixed)
    return normed(weights, "layer_output_norm", result)


def _second_half(model: Model, weights: Weights, residual: Node) -> Node:
    if "pre_ffw_norm_2.weight" in weights:
        result = _both_kinds(model, weights, residual)
    else:
        name = "ffn_norm" if "ffn_norm.weight" in weights else "post_attention_norm"
        source = normed(weights, name, residual)
        result = (
            _mixture(model, weights, source)
            if "ffn_gate_inp.weight" in weights
            else (feed_forward(weights, source))
        )
    if "post_ffw_norm.weight" in weights:
        result = normed(weights, "post_ffw_norm", result)
    return result


def _mixture(model: Model, weights: Weights, source: Node) -> Node:
    result = mixture(model, weights, source, routing_of(model))
    if "ffn_up_shexp.weight" not in weights:
        return result
    shared = feed_forward(weights, source, SHARED_TAIL)
    if "ffn_gate_inp_shexp.weight" in weights:
        gate = changed(Op.UNARY, matmul(weights, "ffn_gate_inp_shexp", source))
        shared = changed(Op.MUL, shared, gate)
    return computed(Op.ADD, result.shape, result, shared)


def _both_kinds(model: Model, weights: Weights, residual: Node) -> Node:
    """Gemma 4's layers with a dense part and experts side by side."""
    dense = feed_forward(weights, normed(weights, "ffn_norm", residual))
    dense = normed(weights, "post_ffw_norm_1", dense)
    source = normed(weights, "pre_ffw_norm_2", residual)
    routed = changed(Op.SCALE, computed(Op.NORM, residual.shape, residual))
    routed = changed(Op.MUL, routed, weights.node("ffn_gate_inp.scale"))
    logits = matmul(weights, "ffn_gate_inp", routed)
    mixed = mixture(model, weights, source, routing_of(model), logits)
    mixed = normed(weights, "post_ffw_norm_2", mixed)
    return computed(Op.ADD, dense.shape, dense, mixed)


def routing_of(model: Model) -> Routing:
    """How the model's architecture chooses experts."""
    normalised = model.architecture not in UNNORMALISED
    if "expert_weights_norm" in model.keys:
        normalised = model.keys["expert_weights_norm"] is True
    elif model.architecture in ("deepseek2", "glm4moe"):
        normalised = False
    return Routing(
        late_softmax=model.architecture == "gpt-oss",
        normalised=normalised,
        scaled=model.share("expert_weights_scale") not in (0.0, 1.0),
        grouped=model.number("expert_group_count"),
        groups_used=model.number("expert_group_used_count"),
    )


def _with_own_input(weights: Weights, source: Node, per_layer: Node, wanted: Node | None) -> Node:
    width, tokens, _ = per_layer.shape
    gate = changed(Op.UNARY, matmul(weights, "inp_gate", source))
    own = part(per_layer, width, tokens, contiguous=True)
    if wanted is not None:
        own = _picked(own, wanted)
    result = matmul(weights, "proj", changed(Op.MUL, gate, own))
    return computed(Op.ADD, source.shape, source, normed(weights, "post_norm", result))


def _output(model: Model, weights: Weights, residual: Node) -> None:
    if model.shape.encoder:
        model.graph.expand(residual)
        return
    result = normed(weights, "output_norm", residual)
    name = "output" if "output.weight" in weights else "token_embd"
    result = biased(weights, "output", matmul(weights, name, result))
    if "final_logit_softcapping" in model.keys:
        result = changed(Op.SCALE, changed(Op.UNARY, changed(Op.SCALE, result)))
    model.graph.expand(result)
