"""Brings a model's header from disk to the parser, without reading the weights."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from localllm.errors import ModelNotFound
from localllm.formats.errors import BadModelFile
from localllm.formats.gguf import parse_gguf
from localllm.formats.gguf_parts import join_parts, parse_gguf_part
from localllm.formats.header import Header, Tensor
from localllm.formats.hf_header import header_from_config
from localllm.formats.projector import Projector, parse_projector
from localllm.formats.safetensors import parse_safetensors
from localllm.store.contents import Variant
from localllm.store.listing import missing_parts, set_of, sort_folder
from localllm.store.repository import RepositoryFile
from localllm.store.unnoticed import open_unnoticed

MAX_TEXT_BYTES = 8 << 20
"""Of a config.json or a tokenizer's; the largest known have 2 MB."""

Buffer: TypeAlias = bytes | bytearray | memoryview


def read_header(path: Path) -> Header:
    """Read the header of a GGUF file, of a set of them by any of its parts, or of a folder.

    Files are mapped, so only the headers' pages are read.

    Raises:
        ModelNotFound: A file cannot be opened, or parts of the set are missing.
        LocalLLMError: The parser's own, for a file that is broken or not a model.
    """
    if path.is_dir():
        return _of_folder(path)
    parts = set_of(path)
    if len(parts.files) == 1 and not parts.missing:
        with mapped(path) as view:
            return parse_gguf(view, file_bytes=len(view))
    return _joined(path.parent, parts)


def read_projector(path: Path) -> Projector:
    """Read a projector's header; errors are those of `read_header`."""
    with mapped(path) as view:
        return parse_projector(view, file_bytes=len(view))


@dataclass(frozen=True, slots=True)
class SafetensorsModel:
    """What was read of a model in safetensors, from wherever it is."""

    name: str
    variant: Variant
    config: bytes
    template: bytes
    """What holds the chat template; empty without one."""

    tables: Sequence[Sequence[Tensor]]
    """The tensors of each file."""

    def header(self) -> Header:
        """Make one header of all of it.

        Raises:
            BadModelFile: The config.json is broken, or not of a model that we know.
        """
        held = self.variant.template
        has_template = held is not None and (
            not held.path.endswith("config.json") or b'"chat_template"' in self.template
        )
        return header_from_config(
            self.config,
            tuple(tensor for table in self.tables for tensor in table),
            file_bytes=self.variant.file_bytes,
            files=len(self.variant.files),
            has_chat_template=has_template,
            name=self.name,
        )


@contextmanager
def mapped(file: Path) -> Iterator[memoryview]:
    """Map a file for reading.

    Raises:
        ModelNotFound: It cannot be opened.
        BadModelFile: A parser's, with the file's path in it, which no parser knows.
    """
    try:
        opened = open(file, "rb", opener=open_unnoticed)  # noqa: SIM115  # pathlib has no opener
    except OSError as error:
        raise _unreadable(file, error) from error
    with opened, _naming(file):
        if file.stat().st_size == 0:
            yield memoryview(b"")
            return
        with (
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as whole,
            memoryview(whole) as view,
        ):
            yield view


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    try:
        yield
    except BadModelFile as error:
        raise BadModelFile(error.what, why=f"{file}: {error.why}", fix=error.fix) from error


def _of_folder(folder: Path) -> Header:
    models = sort_folder(folder, deep=False).models
    variant = next((model for model in models if model.config is not None), None)
    if variant is None or variant.config is None:
        raise ModelNotFound(
            f"{folder} holds no model in safetensors.",
            why="a config.json with *.safetensors beside it makes one",
            fix="give the path of a .gguf file, or of such a folder",
        )
    if variant.missing:
        raise missing_parts(folder, variant)
    tables = []
    for file in variant.files:
        with mapped(folder / file.path) as view:
            tables.append(parse_safetensors(view, file_bytes=len(view)))
    config, template = _read(folder, variant.config), _read(folder, variant.template)
    return SafetensorsModel(folder.name, variant, config, template, tables).header()


def _read(folder: Path, file: RepositoryFile | None) -> bytes:
    if file is None:
        return b""
    with mapped(folder / file.path) as view:
        return bytes(view[:MAX_TEXT_BYTES])


def _joined(folder: Path, variant: Variant) -> Header:
    if variant.missing:
        raise missing_parts(folder, variant)
    parts = []
    for file in variant.files:
        with mapped(folder / file.path) as view:
            parts.append(parse_gguf_part(view, file_bytes=len(view)))
    return join_parts(parts)


def _unreadable(file: Path, error: OSError) -> ModelNotFound:
    return ModelNotFound(
        f"{file} cannot be read.", why=str(error), fix="check the path and its permissions"
    )
