"""What of a model takes memory and time, layer by layer, whatever kind of file said it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from localllm.fit.architectures import (
    BOTH_IN_EVERY_LAYER,
    COMPRESSED,
    ENCODERS,
    OUTPUT_BEFORE_TABLE,
    WITHOUT_OUTPUT,
)
from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.keys import Keys
from localllm.fit.rules import (
    check_covered,
    compressor_numbers,
    head_dims,
    heads_of,
    keeps_keys_only,
    kept_layers,
    recurrent_layers,
    state_numbers,
    window_tokens,
    windowed_layers,
)
from localllm.formats.header import Header, Tensor

TOKEN_TABLE = "token_embd.weight"  # noqa: S105
OUTPUT = "output.weight"
INPUT_TABLES = (
    TOKEN_TABLE,
    "per_layer_token_embd.weight",
    "position_embd.weight",
    "token_types.weight",
)
"""Looked up on the host, wherever the layers are. Source: llama.cpp, src/llama-arch.cpp."""

ROPE_FACTORS = ("rope_freqs.", "rope_factors_")
"""Tensors that every device with layers gets a copy of."""

ENTRY = ("per_layer_model_proj.", "per_layer_proj_norm.")
EXPERTS = tuple(
    f".ffn_{part}_{kind}exps."
    for part in ("up", "down", "gate", "gate_up", "coarse")
    for kind in ("", "ch")
)
"""What `--n-cpu-moe` leaves on the host. Source: llama.cpp, common/common.h,
LLM_FFN_EXPS_REGEX; `coarse` is an outline's own."""


REPACKED = frozenset({"q4_0", "q4_k", "iq4_nl"})
"""Types that a processor keeps in a better order. Source: ggml/src/ggml-cpu/repack.cpp."""


@dataclass(frozen=True, slots=True)
class Experts:
    """Feed-forward parts of which each token uses a few."""

    count: int
    used: int
    width: int
    """Between the two halves of one expert."""

    shared_width: int
    """Of the part that every token uses."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One block: what it keeps of each token or slot, and what it weighs."""

    windowed: bool
    """It keeps the last tokens only."""

    key: int
    """Numbers that it keeps of each token as keys; 0 where it has no cache of its own."""

    value: int
    state: int
    """Numbers (F32) that it keeps of each slot, however long the text."""

    query: int
    """Numbers per token that attention asks with; 0 without attention."""

    attended: int
    feed_forward: int
    compression: int
    """Of DeepSeek V4: tokens that one further cell stands for; 0 where there are none."""

    tensors: tuple[Tensor, ...]
    """Its weights, the experts' left out."""

    experts: tuple[Tensor, ...]

    @property
    def weights_bytes(self) -> int:
        return sum(t.size_bytes for t in self.tensors) + self.experts_bytes

    @property
    def experts_bytes(self) -> int:
        return sum(t.size_bytes for t in self.experts)


@dataclass(frozen=True, slots=True)
class Shape:
    """A model as the formulas see it."""

    header: Header
    layers: tuple[Layer, ...]
    idle_layers: int
    """Blocks at the end that only drafts use; not loaded, yet counted where layers are placed."""

    window: int
    """Tokens; 0 where no layer has one."""

    latent: bool
    """Attention keeps one compressed vector instead of keys and values (MLA)."""

    encoder: bool
    """Reads a text at once and keeps nothing."""

    embeds: bool
    """Gives embeddings, whether or not it could also write."""

    experts: Experts | None
    indexer: int
    """Numbers per cell of DeepSeek V4's indexer."""

    input_tables: tuple[Tensor, ...]
    output_tensors: tuple[Tensor, ...]
    """The output layer's, the token table among them where it serves as both."""

    copied: tuple[Tensor, ...]
    """On every device that has layers."""

    entry: tuple[Tensor, ...]
    """No layer's own, and where the first layer is: what makes Gemma's inputs per layer."""

    @property
    def tied(self) -> bool:
        """Whether the token table is the output layer as well."""
        return any(t.name == TOKEN_TABLE for t in self.output_tensors)

    @property
    def table_is_twice_on_host(self) -> bool:
        """Whether the host holds a table that serves as the output a second time, as devices do.

        llama.cpp keeps the output in an order of its own where the type has one.
        """
        table = next((t for t in self.output_tensors if t.name == TOKEN_TABLE), None)
        if table is None:
            return False
        return table.type in REPACKED or self.header.architecture in OUTPUT_BEFORE_TABLE

    @property
    def compressed(self) -> bool:
        return self.header.architecture in COMPRESSED

    @property
    def recurrent(self) -> bool:
        return any(layer.state for layer in self.layers)

    @property
    def blocks(self) -> int:
        """All there are, the output layer counted as one, as llama.cpp counts them."""
        return len(self.layers) + self.idle_layers + 1


def shape_of(header: Header) -> Shape:
    """Work out what a header implies.

    Raises:
        UnsupportedArchitecture: The model keeps, or computes, what these formulas do not cover.
    """
    keys = Keys(header)
    check_covered(header, keys)
    idle = min(keys.number("nextn_predict_layers"), header.layers - 1)
    count = header.layers - idle
    window = window_tokens(header, keys)
    tensors = _by_layer(header, count)
    recurrent = recurrent_layers(header, keys)
    windowed = windowed_layers(header, keys, window)
    layer = _layer_maker(header, keys)
    return Shape(
        header=header,
        layers=tuple(layer(i, windowed(i), recurrent(i), tensors.get(i, ())) for i in range(count)),
        idle_layers=idle,
        window=window,
        latent=keys.number("attention.key_length_mla") > 0,
        encoder=header.architecture in ENCODERS,
        embeds=header.architecture in ENCODERS or keys.number("pooling_type") > 0,
        experts=_experts(keys),
        indexer=keys.number("attention.indexer.key_length"),
        input_tables=tuple(t for t in header.tensors if t.name in INPUT_TABLES),
        output_tensors=_output_tensors(header),
        copied=tuple(t for t in header.tensors if t.name.startswith(ROPE_FACTORS)),
        entry=tuple(t for t in header.tensors if t.name.startswith(ENTRY)),
    )


def draft_heads(header: Header) -> Shape:
    """The blocks at a model's end that only drafts use (MTP), as if they were a model.

    Raises:
        UnsupportedArchitecture: It has none.
    """
    shape = shape_of(header)
    if not shape.idle_layers:
        raise UnsupportedArchitecture(
            f"{header.name or header.architecture} has no blocks that guess tokens ahead.",
            why="its file states no nextn_predict_layers",
            fix="name a smaller model of its family as draft, or none",
        )
    layer, tensors = _layer_maker(header, Keys(header)), _by_layer(header, header.layers)
    numbers = range(len(shape.layers), header.layers)
    own = tuple(layer(i, False, False, tensors.get(i, ())) for i in numbers)  # noqa: FBT003
    return replace(shape, layers=own, idle_layers=0, entry=())


def _layer_maker(
    header: Header, keys: Keys
) -> Callable[[int, bool, bool, tuple[Tensor, ...]], Layer]:
    state = state_numbers(header, keys)
    kept = kept_layers(header, keys)

    def layer(i: int, windowed: bool, recurrent: bool, tensors: tuple[Tensor, ...]) -> Layer:  # noqa: FBT001
        attends = not recurrent or header.architecture in BOTH_IN_EVERY_LAYER
        key_dim, value_dim = head_dims(header, keys, windowed=windowed)
        heads_kv = header.heads_kv[i] if attends and i < kept else 0
        heads = heads_of(header, keys, i) if attends and header.heads_kv[i] else 0
        return Layer(
            windowed=windowed and attends,
            key=heads_kv * key_dim,
            value=0 if keeps_keys_only(header, keys) else heads_kv * value_dim,
            state=compressor_numbers(header, keys, i) + (state if recurrent else 0),
            query=heads * key_dim,
            attended=heads * value_dim,
            feed_forward=_feed_forward(header, keys, i, tensors),
            compression=keys.at("attention.compress_ratios", i),
            tensors=tuple(t for t in tensors if not is_expert(t)),
            experts=tuple(t for t in tensors if is_expert(t)),
        )

    return layer


def _feed_forward(header: Header, keys: Keys, i: int, tensors: tuple[Tensor, ...]) -> int:
    """Width between the halves of a layer's dense feed-forward part; 0 where it has none."""
    down = [t.shape[0] for t in tensors if t.name.endswith("ffn_down.weight")]
    if down:
        return down[0]
    has_experts = any(is_expert(t) for t in tensors)
    return 0 if has_experts else keys.at("feed_forward_length", i) or header.feed_forward or 0


def _experts(keys: Keys) -> Experts | None:
    count, used = keys.number("expert_count"), keys.number("expert_used_count")
    if not count or not used:
        return None
    width = keys.number("expert_feed_forward_length") or keys.number("feed_forward_length")
    shared = keys.number("expert_shared_feed_forward_length")
    return Experts(count, used, width, shared or keys.number("expert_shared_count") * width)


def _by_layer(header: Header, count: int) -> dict[int, tuple[Tensor, ...]]:
    """Group the tensors by block; those of blocks that are not loaded are left out."""
    groups: dict[int, list[Tensor]] = {}
    for tensor in header.tensors:
        head, _, rest = tensor.name.partition(".")
        number, _, _ = rest.partition(".")
        if head == "blk" and number.isdecimal() and int(number) < count:
            groups.setdefault(int(number), []).append(tensor)
    return {i: tuple(tensors) for i, tensors in groups.items()}


def _output_tensors(header: Header) -> tuple[Tensor, ...]:
    """All that is no block's, no input table and no copied one."""
    rest = [
        t
        for t in header.tensors
        if not t.name.startswith(("blk.", *ROPE_FACTORS, *ENTRY)) and t.name not in INPUT_TABLES
    ]
    if header.architecture not in WITHOUT_OUTPUT and all(t.name != OUTPUT for t in rest):
        rest += [t for t in header.tensors if t.name == TOKEN_TABLE]
    return tuple(rest)


def is_expert(tensor: Tensor) -> bool:
    """Whether it holds the experts of a layer."""
    return any(part in tensor.name for part in EXPERTS)
