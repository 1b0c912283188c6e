"""What a GGUF file's first bytes say of the model in it. Reads no weights, builds no vocabulary.

Source: ggml/docs/gguf.md, and ggml/src/gguf.cpp for what llama.cpp refuses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf_cursor import MAX_NAME_BYTES, Cursor, Listing, Scalar, bad
from localllm.formats.header import Header, Tensor, Value
from localllm.formats.quantization import STORAGE_TYPES, quantization_name, tensor_bytes

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS = 65_536
MAX_TENSORS = 262_144
MAX_DIMENSIONS = 4
MAX_ELEMENTS = (1 << 63) - 1
MAX_LAYERS = 10_000
DEFAULT_ALIGNMENT = 32


@dataclass(frozen=True, slots=True)
class _Metadata:
    """The file's keys; a number is taken only where the file holds a whole, positive one."""

    values: Mapping[str, Scalar | Listing]
    architecture: str

    def plain(self) -> dict[str, Value]:
        """Scalars, and lists of numbers that are short enough to be one per layer."""
        found: dict[str, Value] = {}
        for key, value in self.values.items():
            if not isinstance(value, Listing):
                found[key] = value
            elif value.numbers is not None:
                found[key] = value.numbers
        return found

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def numbers(self, key: str) -> tuple[int, ...] | None:
        """The key's value, or one value per layer; None where the file does not say."""
        value = self.values.get(f"{self.architecture}.{key}")
        if value is None:
            return None
        found = value.numbers if isinstance(value, Listing) else (value,)
        if not found or not all(type(each) is int and each >= 0 for each in found):
            raise bad(f"{self.architecture}.{key} is not a whole number")
        return tuple(int(each) for each in found)

    def number(self, key: str) -> int | None:
        """As `numbers`; the largest where the file has one per layer."""
        found = self.numbers(key)
        if found is None:
            return None
        if max(found) == 0:
            raise bad(f"{self.architecture}.{key} is 0")
        return max(found)

    def required(self, key: str) -> int:
        found = self.number(key)
        if found is None:
            raise bad(f"it has no {self.architecture}.{key}")
        return found


def parse_gguf(data: bytes | bytearray | memoryview, *, file_bytes: int) -> Header:
    """Read a GGUF header.

    Args:
        data: The file's first bytes, at least as many as its header has; the whole file, or a
            memory map of it, will do.
        file_bytes: The length of the whole file.

    Raises:
        BadModelFile: It is damaged, hostile, or not a model's.
        HeaderIncomplete: `data` ends before the header does.
    """
    with memoryview(data) as view:
        cursor = Cursor(view, file_bytes)
        _check_format(cursor)
        tensor_count, key_count = cursor.count(), cursor.count()
        metadata = _metadata(cursor, key_count)
        tensors = _tensors(cursor, tensor_count, _alignment(metadata))
    return _header(metadata, tensors, file_bytes)


def _check_format(cursor: Cursor) -> None:
    magic = bytes(cursor.data[cursor.skip(4) : cursor.at])
    if magic != MAGIC:
        raise bad(f"it begins with {magic!r}, not with {MAGIC!r}")
    version = int(cursor.number(4))
    if version and not version & 0xFFFF:
        raise BadModelFile(
            "This GGUF file is for big-endian machines.",
            why=f"its version number, {version:#x}, has its bytes the other way round",
            fix="download the little-endian file of the same model",
        )
    if version not in VERSIONS:
        raise BadModelFile(
            f"GGUF version {version} cannot be read.",
            why="versions 2 and 3 can",
            fix="download a newer file of the same model, or update localllm",
        )


def _metadata(cursor: Cursor, count: int) -> _Metadata:
    if count > MAX_KEYS:
        raise bad(f"{count} keys, where {MAX_KEYS} are allowed")
    values: dict[str, Scalar | Listing] = {}
    for _ in range(count):
        key = cursor.text(MAX_NAME_BYTES)
        if key in values:
            raise bad(f"{key} is there twice")
        values[key] = cursor.value()
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise bad("it does not say its architecture")
    return _Metadata(values, architecture)


def _alignment(metadata: _Metadata) -> int:
    found = metadata.values.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(found) is not int or found < 1 or found & (found - 1):
        raise bad(f"its alignment is {found}, not a power of 2")
    return found


def _tensors(cursor: Cursor, count: int, alignment: int) -> tuple[Tensor, ...]:
    if count > MAX_TENSORS:
        raise bad(f"{count} tensors, where {MAX_TENSORS} are allowed")
    placed = [_tensor(cursor, alignment) for _ in range(count)]
    if len({tensor.name for _, tensor in placed}) != count:
        raise bad("two tensors have the same name")
    data_at = -(-cursor.at // alignment) * alignment
    for offset, tensor in placed:
        end = data_at + offset + tensor.size_bytes
        if end > cursor.file_bytes:
            raise bad(f"{tensor.name} ends at byte {end}, the file at {cursor.file_bytes}")
    return tuple(tensor for _, tensor in placed)


def _tensor(cursor: Cursor, alignment: int) -> tuple[int, Tensor]:
    """Read one line of the tensor table: where its data is, from the first data on, and what."""
    name = cursor.text(MAX_NAME_BYTES)
    shape = _shape(cursor, name)
    type_id = int(cursor.number(4))
    storage = STORAGE_TYPES.get(type_id)
    if storage is None:
        raise bad(f"{name} is stored as type {type_id}, which this version does not know")
    try:
        size_bytes = tensor_bytes(storage, shape)
    except ValueError as error:
        raise bad(f"{name}: {error}") from error
    offset = cursor.count()
    if offset % alignment:
        raise bad(f"{name} is at {offset}, which is not aligned to {alignment}")
    return offset, Tensor(name, shape, storage.name, size_bytes)


def _shape(cursor: Cursor, name: str) -> tuple[int, ...]:
    dimensions = int(cursor.number(4))
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise bad(f"{name} has {dimensions} dimensions")
    shape = tuple(cursor.count() for _ in range(dimensions))
    if not 0 < prod(shape) <= MAX_ELEMENTS:
        raise bad(f"{name} has the shape {shape}")
    return shape


def _header(metadata: _Metadata, tensors: tuple[Tensor, ...], file_bytes: int) -> Header:
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
        file_bytes=file_bytes,
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
    )


def _check_kind(metadata: _Metadata) -> None:
    kind = metadata.text("general.type") or "model"
    if metadata.architecture == "clip" or kind in {"mmproj", "adapter"}:
        raise BadModelFile(
            "This file is an addition to a model, not a model.",
            why=f"its type is {kind}, its architecture {metadata.architecture}",
            fix="name the model's own file; one that can see keeps its projector beside it",
        )
    parts = metadata.values.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise BadModelFile(
            f"This file is one of {parts} that make up the model.",
            why="models in several files cannot be read yet",
            fix="join them with llama.cpp's `llama-gguf-split --merge`",
        )


def _layers(metadata: _Metadata) -> int:
    layers = metadata.required("block_count")
    if layers > MAX_LAYERS:
        raise bad(f"{layers} layers, where {MAX_LAYERS} are allowed")
    return layers


def _heads_kv(metadata: _Metadata, layers: int, heads: int) -> tuple[int, ...]:
    found = metadata.numbers("attention.head_count_kv") or (heads,)
    if len(found) == 1:
        return found * layers
    if len(found) != layers:
        raise bad(f"{len(found)} layers have key and value heads, and there are {layers}")
    return found


def _feed_forward(metadata: _Metadata) -> int | None:
    found = metadata.numbers("feed_forward_length") or (0,)
    return found[0] if len(set(found)) == 1 and found[0] else None


def _quantization(metadata: _Metadata, tensors: tuple[Tensor, ...]) -> str | None:
    """What the file calls itself, else the type that most of its bytes have."""
    stated = metadata.values.get("general.file_type")
    name = quantization_name(stated) if type(stated) is int else None
    if name is not None or not tensors:
        return name
    bytes_by_type: Counter[str] = Counter()
    for tensor in tensors:
        bytes_by_type[tensor.type] += tensor.size_bytes
    return bytes_by_type.most_common(1)[0][0].upper()


def _vocabulary(metadata: _Metadata, tensors: tuple[Tensor, ...]) -> int:
    stated, tokens = metadata.number("vocab_size"), metadata.values.get("tokenizer.ggml.tokens")
    if stated is not None:
        return stated
    if isinstance(tokens, Listing):
        return tokens.count
    for tensor in tensors:
        if tensor.name == "token_embd.weight":
            return tensor.shape[-1]
    raise bad("it does not say how many tokens it knows")
