"""Brings a model file's header to the parser, without reading the weights."""

from __future__ import annotations

import mmap
from pathlib import Path

from localllm.errors import ModelNotFound
from localllm.formats.gguf import parse_gguf
from localllm.formats.header import Header


def read_header(file: Path) -> Header:
    """Read a GGUF's header; the file is mapped, so only the header's pages are read.

    Raises:
        ModelNotFound: The file cannot be opened.
        LocalLLMError: The parser's own, for a file that is broken or not a model.
    """
    try:
        with file.open("rb") as opened:
            size = file.stat().st_size
            if size == 0:
                return parse_gguf(b"", file_bytes=0)
            with (
                mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
                memoryview(mapped) as view,
            ):
                return parse_gguf(view, file_bytes=size)
    except OSError as error:
        raise ModelNotFound(
            f"{file} cannot be read.", why=str(error), fix="check the path and its permissions"
        ) from error
