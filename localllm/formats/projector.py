"""What a projector's file says: the addition (`mmproj`) that lets a model see or hear.

Source: llama.cpp, tools/mtmd/clip.cpp and gguf-py/gguf/constants.py (class Keys.Clip).
"""

from __future__ import annotations

from dataclasses import dataclass

from localllm.formats.errors import BadModelFile
from localllm.formats.gguf_cursor import shown
from localllm.formats.gguf_metadata import Metadata
from localllm.formats.gguf_table import read_contents


@dataclass(frozen=True, slots=True)
class Projector:
    """Sizes of a projector; a number is None where the file does not say."""

    name: str | None
    type: str | None
    """What it projects with, as in qwen3vl_merger."""

    file_bytes: int
    weights_bytes: int
    has_vision: bool
    has_audio: bool
    image_size: int | None
    """Pixels along one edge."""

    patch_size: int | None
    """Pixels along one edge of what becomes one token."""

    embedding: int | None
    layers: int | None
    projection: int | None
    """Of its output: the embedding of the model that it belongs to."""


def parse_projector(data: bytes | bytearray | memoryview, *, file_bytes: int) -> Projector:
    """Read a projector's header; arguments are those of `parse_gguf`.

    Raises:
        BadModelFile: It is damaged, hostile, or not a projector's.
        HeaderIncomplete: `data` ends before the header does.
    """
    contents = read_contents(data, file_bytes)
    metadata = contents.metadata
    if not is_projector(metadata):
        raise BadModelFile(
            "This file is not a projector.",
            why=f"its architecture is {metadata.architecture or 'not named'}, not clip",
            fix="name the file that the model's repository calls mmproj",
        )
    metadata.plain()  # refuses numbers that are none
    side = "vision" if metadata.flag("clip.has_vision_encoder") else "audio"
    return Projector(
        name=metadata.text("general.name"),
        type=_type(metadata, side),
        file_bytes=file_bytes,
        weights_bytes=sum(t.size_bytes for t in contents.tensors),
        has_vision=metadata.flag("clip.has_vision_encoder"),
        has_audio=metadata.flag("clip.has_audio_encoder"),
        image_size=_number(metadata, "vision.image_size"),
        patch_size=_number(metadata, "vision.patch_size"),
        embedding=_number(metadata, f"{side}.embedding_length"),
        layers=_number(metadata, f"{side}.block_count"),
        projection=_number(metadata, f"{side}.projection_dim"),
    )


def is_projector(metadata: Metadata) -> bool:
    """Tell a projector's keys from a model's."""
    return metadata.architecture == "clip" or metadata.text("general.type") == "mmproj"


def _type(metadata: Metadata, side: str) -> str | None:
    keys = ("clip.projector_type", f"clip.{side}.projector_type")
    found = next((t for t in map(metadata.text, keys) if t), None)
    return None if found is None else shown(found)


def _number(metadata: Metadata, key: str) -> int | None:
    """A file may state 0 where something does not apply."""
    keys = Metadata(metadata.values, "clip")
    return max(keys.numbers(key) or (0,)) or None
