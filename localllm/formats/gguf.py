"""What a GGUF file's first bytes say of the model in it. Reads no weights, builds no vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf_cursor import Listing, bad, shown
from localllm.formats.gguf_metadata import Metadata
from localllm.formats.gguf_table import Contents, read_contents
from localllm.formats.header import Header, Tensor
from localllm.formats.quantization import quantization_name

MAX_LAYERS = 10_000
MAX_LISTED = 8


def parse_gguf(data: bytes | bytearray | memoryview, *, file_bytes: int) -> Header:
    """Read the header of a model in one file.

    Args:
        data: The file's first bytes, at least as many as its header has; the whole file, or a
            memory map of it, will do.
        file_bytes: The length of the whole file.

    Raises:
        BadModelFile: It is damaged, hostile, not a model's, or one part of several, which
            `gguf_parts` reads.
        HeaderIncomplete: `data` ends before the header does.
    """
    contents = read_contents(data, file_bytes)
    number, count = part_of(contents.metadata)
    if count > 1:
        raise missing_parts({number}, count)
    return header_of(contents)


def part_of(metadata: Metadata) -> tuple[int, int]:
    """Which part of how many a file is, counted from 1; (1, 1) for a whole one.

    Raises:
        BadModelFile: It is none that there can be.
    """
    count, number = metadata.values.get("split.count", 1), metadata.values.get("split.no", 0)
    if type(count) is not int or type(number) is not int or not 0 <= number < max(count, 1):
        raise bad(f"it is part {shown(str(number))} of {shown(str(count))}, counted from 0")
    return number + 1, max(count, 1)


def missing_parts(there: set[int], count: int) -> BadModelFile:
    """Name the parts that a model cannot be read without."""
    missing = [n for n in range(1, count + 1) if n not in there]
    names = ", ".join(map(str, missing[:MAX_LISTED]))
    more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
    have = ", ".join(map(str, sorted(there)[:MAX_LISTED])) or "none"
    return BadModelFile(
        f"The model is made of {count} files, and not all are there.",
        why=f"there is part {have}; missing: {names}{more}",
        fix="download the missing files into the same folder and name the first one",
    )


def header_of(contents: Contents, *, files: int = 1) -> Header:
    """Make out the model.

    Raises:
        BadModelFile: There is none, or it contradicts itself.
    """
    metadata, tensors = contents.metadata, contents.tensors
    _check_kind(metadata)
    layers, embedding = _layers(metadata), metadata.required("embedding_length")
    heads = max(metadata.numbers("attention.head_count") or (0,))
    if heads > embedding:
        raise bad(f"{heads} heads share an embedding of {embedding}")
    head_dim = embedding // heads if heads else 0
    return Header(
        architecture=metadata.architecture,
        name=metadata.text("general.name"),
        quantization=_quantization(metadata, tensors),
        file_bytes=contents.file_bytes,
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        layers=layers,
        context_trained=metadata.number("context_length"),
        embedding=embedding,
        feed_forward=_feed_forward(metadata),
        heads=heads,
        heads_kv=_heads_kv(metadata, layers, heads),
        key_dim=metadata.number("attention.key_length") or head_dim,
        value_dim=metadata.number("attention.value_length") or head_dim,
        vocabulary=_vocabulary(metadata, tensors),
        has_chat_template=metadata.text("tokenizer.chat_template") is not None,
        tensors=tensors,
        metadata=metadata.plain(),
        files=files,
    )


def _check_kind(metadata: Metadata) -> None:
    if not metadata.architecture:
        raise bad("it does not say its architecture")
    kind = metadata.text("general.type") or "model"
    if metadata.architecture == "clip" or kind in {"mmproj", "adapter"}:
        raise BadModelFile(
            "This file is an addition to a model, not a model.",
            why=f"its type is {shown(kind)}, its architecture {metadata.architecture}",
            fix="name the model's own file; one that can see keeps its projector beside it",
        )


def _layers(metadata: Metadata) -> int:
    layers = metadata.required("block_count")
    if layers > MAX_LAYERS:
        raise bad(f"{layers} layers, where {MAX_LAYERS} are allowed")
    return layers


def _heads_kv(metadata: Metadata, layers: int, heads: int) -> tuple[int, ...]:
    found = metadata.numbers("attention.head_count_kv") or (heads,)
    if len(found) == 1:
        return found * layers
    if len(found) != layers:
        raise bad(f"{len(found)} layers have key and value heads, and there are {layers}")
    return found


def _feed_forward(metadata: Metadata) -> int | None:
    found = metadata.numbers("feed_forward_length") or (0,)
    return found[0] if len(set(found)) == 1 and found[0] else None


def _quantization(metadata: Metadata, tensors: tuple[Tensor, ...]) -> str | None:
    """What the file calls itself, else the type that most of its bytes have."""
    stated = metadata.values.get("general.file_type")
    name = quantization_name(stated) if type(stated) is int else None
    return name or most_bytes(tensors)


def most_bytes(tensors: Iterable[Tensor]) -> str | None:
    """The storage type of most bytes, upper case; None without tensors."""
    bytes_by_type: Counter[str] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.type] += tensor.size_bytes
    return bytes_by_type.most_common(1)[0][0].upper() if bytes_by_type else None


def _vocabulary(metadata: Metadata, tensors: tuple[Tensor, ...]) -> int:
    stated, tokens = metadata.number("vocab_size"), metadata.values.get("tokenizer.ggml.tokens")
    if stated is not None:
        return stated
    if isinstance(tokens, Listing):
        return tokens.count
    for tensor in tensors:
        if tensor.name == "token_embd.weight":
            return tensor.shape[-1]
    raise bad("it does not say how many tokens it knows")
