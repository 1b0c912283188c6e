"""What stands beside each saved prompt, as JSON: what it is of, and how to know that it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from localllm.prefix.entries import Entry
from localllm.prefix.outline import Outline
from localllm.versioned import replace_private

FORMAT = 3
_MOST = 1 << 53
_Positive = Annotated[int, msgspec.Meta(gt=0, le=_MOST)]
_Counted = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]
_Path = Annotated[str, msgspec.Meta(pattern=r"^/v1/(chat/)?completions\Z")]
"""What is in it is sent there: to no other host, whatever somebody has written into the file."""


class _Head(msgspec.Struct, frozen=True):
    format: int


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    id: str
    key: str
    model: str
    marks: bytes
    text_bytes: _Counted
    tokens: _Positive
    size_bytes: _Positive
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    saved_at: float
    used_at: float
    uses: _Counted
    path: _Path | None


def read_record(file: Path) -> Entry | None:
    """Read one; None if it is of another version, or is none at all."""
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_Record)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None
    if read.format != FORMAT or read.id != file.stem:
        return None
    return Entry(
        id=read.id,
        key=read.key,
        model=read.model,
        outline=Outline(read.marks, read.text_bytes),
        tokens=read.tokens,
        size_bytes=read.size_bytes,
        sha256=read.sha256,
        saved_at=read.saved_at,
        used_at=read.used_at,
        uses=read.uses,
        path=read.path,
    )


def is_newer(file: Path) -> bool:
    """Tell whether a later version of localllm has written it, which may read it again."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Head).format > FORMAT
    except (OSError, msgspec.DecodeError, RecursionError):
        return False


def write_record(file: Path, entry: Entry) -> None:
    """Write one in a single step, readable by its user alone.

    Raises:
        OSError: The disk does not take it; nothing half is left.
    """
    record = _Record(
        format=FORMAT,
        id=entry.id,
        key=entry.key,
        model=entry.model,
        marks=entry.outline.marks,
        text_bytes=entry.outline.size_bytes,
        tokens=entry.tokens,
        size_bytes=entry.size_bytes,
        sha256=entry.sha256,
        saved_at=entry.saved_at,
        used_at=entry.used_at,
        uses=entry.uses,
        path=entry.path,
    )
    replace_private(file, msgspec.json.encode(record), synced=False)
