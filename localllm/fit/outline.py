"""A model's header before any file of it was read: from what the catalogue knows, and a file's size.

Tensors come from the blueprint; how many bytes each has is shared out, since of a file that was
not read only the whole size is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod

from localllm.catalog.facts import HyperParameters
from localllm.fit.architectures import ENCODERS
from localllm.fit.blueprint import can_be_tied, tensors_of
from localllm.fit.blueprint_dims import Dims, MissingKeys
from localllm.fit.blueprint_parts import Entry
from localllm.formats.header import Format, Header, Tensor, Value
from localllm.formats.quantization import STORAGE_TYPES

UNQUANTIZED = (
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ssm_conv1d.weight",
    "position_embd.weight",
    "token_types.weight",
)
"""Names that end so stay F32. Source: llama.cpp, src/llama-quant.cpp, tensor_allows_quantization
(those of one dimension, and all that are no weights, do anyway)."""

ASKED_FOR = frozenset({"feed_forward_length"})
"""Told missing by the recipes that need it; models of experts alone do not."""

NEEDED = ("block_count", "embedding_length", "vocab_size", "attention.head_count")
WITHOUT_HEADS = frozenset({"mamba", "mamba2"})
MATRICES_OF_ATTENTION = 4
MATRICES_OF_FEED_FORWARD = 3


@dataclass(frozen=True, slots=True)
class Missing:
    """Hyper-parameters that no source gave: a plan has to wait for the header."""

    names: tuple[str, ...]


def outline(  # noqa: PLR0913 (all by name)
    hyper: HyperParameters,
    *,
    name: str | None,
    quant: str | None,
    size_bytes: int,
    parameters: int | None = None,
    context: int | None = None,
    format: Format = Format.GGUF,  # noqa: A002
) -> Header | Missing:
    """Make a header as if it had been read from a file of a size.

    Args:
        quant: As the repository spells it: Q4_K_M, UD-Q4_K_XL, 4bit.
        size_bytes: Of all files of the model, its metadata included.
        parameters: Elements of all tensors, if known: they tell whether the token table
            serves as the output layer as well.
        context: Tokens that the model was trained for, where the hyper-parameters do not say.
    """
    if missing := _missing(hyper):
        return Missing(missing)
    try:
        entries = _entries(hyper, parameters)
    except MissingKeys as error:
        return Missing(error.names)
    tensors = _shared_out(entries, _Types.of(format, quant), size_bytes)
    d = Dims(hyper.architecture, hyper.keys)
    heads = d.number("attention.head_count", 0)
    widths = {d.at("feed_forward_length", i, 0) for i in range(d.blocks)}
    return Header(
        architecture=hyper.architecture,
        name=name,
        quantization=quant,
        file_bytes=size_bytes,
        parameters=parameters or sum(prod(shape) for _, shape in entries),
        layers=d.blocks,
        context_trained=d.number("context_length", 0) or context,
        embedding=d.embedding,
        feed_forward=widths.pop() or None if len(widths) == 1 else None,
        heads=heads,
        heads_kv=tuple(d.heads_kv(i) if heads else 0 for i in range(d.blocks)),
        key_dim=d.number("attention.key_length", d.embedding // heads if heads else 0),
        value_dim=d.number("attention.value_length", d.embedding // heads if heads else 0),
        vocabulary=d.vocabulary,
        has_chat_template=hyper.architecture not in ENCODERS,
        tensors=tensors,
        metadata=_metadata(hyper, name),
        format=format,
    )


def rescaled(header: Header, *, quant: str, size_bytes: int) -> Header:
    """Make the header of the same model in another quantization, of which only the size is known.

    What stays F32 in every quantization keeps its bytes.
    """
    entries = [(t.name, t.shape) for t in header.tensors]
    tensors = _shared_out(entries, _Types.of(header.format, quant), size_bytes)
    return replace(header, quantization=quant, file_bytes=size_bytes, tensors=tensors)


def _missing(hyper: HyperParameters) -> tuple[str, ...]:
    """What nobody told, whatever the architecture needs of it."""
    needed = NEEDED[:-1] if hyper.architecture in WITHOUT_HEADS else NEEDED
    unknown = tuple(key for key in hyper.unknown if key not in ASKED_FOR)
    return (*unknown, *(key for key in needed if key not in hyper.keys))


def _metadata(hyper: HyperParameters, name: str | None) -> Mapping[str, Value]:
    own: dict[str, Value] = {f"{hyper.architecture}.{k}": v for k, v in hyper.keys.items()}
    own["general.architecture"] = hyper.architecture
    if name is not None:
        own["general.name"] = name
    return own


def _entries(hyper: HyperParameters, parameters: int | None) -> Sequence[Entry]:
    """The blueprint whose elements are nearest to what is known; without a recipe a coarse one."""
    d = Dims(hyper.architecture, hyper.keys)
    tied = tensors_of(hyper.architecture, hyper.keys, tied=True) or _coarse(d, tied=True)
    if not can_be_tied(hyper.architecture) or parameters is None:
        return tied
    output = ("output.weight", (d.embedding, d.vocabulary))
    missing = parameters - _elements(tied)
    return tied if missing < prod(output[1]) / 2 else (*tied, output)


def _elements(entries: Sequence[Entry]) -> int:
    return sum(prod(shape) for _, shape in entries)


def _coarse(d: Dims, *, tied: bool) -> Sequence[Entry]:
    """Tables, and per block all weights as one tensor and all experts as another."""
    entries: list[Entry] = [("token_embd.weight", (d.embedding, d.vocabulary))]
    if not tied:
        entries.append(("output.weight", (d.embedding, d.vocabulary)))
    experts = MATRICES_OF_FEED_FORWARD * d.expert_width * d.experts if d.experts else 0
    for i in range(d.blocks):
        width = d.shared_width if experts else d.at("feed_forward_length", i, 4 * d.embedding)
        rows = MATRICES_OF_ATTENTION * d.embedding + MATRICES_OF_FEED_FORWARD * width
        entries.append((f"blk.{i}.weights", (d.embedding, rows)))
        if experts:
            entries.append((f"blk.{i}.ffn_coarse_exps.weight", (d.embedding, experts)))
    return entries


@dataclass(frozen=True, slots=True)
class _Types:
    """How a file's tensors are stored, as far as one can tell without reading it."""

    small: str
    """Norms and the like."""

    small_bytes: int
    large: str

    @classmethod
    def of(cls, format: Format, quant: str | None) -> _Types:  # noqa: A002
        if format is Format.GGUF:
            return cls("f32", 4, _named(quant or ""))
        return cls("bf16", 2, "u32" if format is Format.MLX else "bf16")


def _named(quant: str) -> str:
    """Find the storage type that a quantization is named after: q4_k of UD-Q4_K_XL."""
    known = sorted((s.name for s in STORAGE_TYPES.values()), key=len, reverse=True)
    return next((name for name in known if name in quant.lower()), quant.lower())


def _shared_out(entries: Sequence[Entry], types: _Types, size_bytes: int) -> tuple[Tensor, ...]:
    """Give every tensor its bytes; their sum is the file's, to the byte.

    What no quantization touches has its own size; all others share the rest by their elements.
    """
    fixed = {n: prod(shape) * types.small_bytes for n, shape in entries if _stays(n, shape)}
    rest = size_bytes - sum(fixed.values())
    if rest <= 0 or len(fixed) == len(entries):  # a size that cannot be: all share it
        fixed, rest = {}, size_bytes
    ends = [0, *accumulate(0 if name in fixed else prod(shape) for name, shape in entries)]
    parts = [rest * b // ends[-1] - rest * a // ends[-1] for a, b in pairwise(ends)]
    return tuple(
        Tensor(name, shape, types.small, fixed[name])
        if name in fixed
        else Tensor(name, shape, types.large, part)
        for (name, shape), part in zip(entries, parts, strict=True)
    )


def _stays(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is left as it is when the others are quantized."""
    if name.endswith(".weights"):  # a coarse block's
        return False
    return len(shape) == 1 or not name.endswith(".weight") or name.endswith(UNQUANTIZED)
