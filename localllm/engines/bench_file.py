"""What `engine bench` measured on this machine, for the choice between engines that can do the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

FORMAT = 1


class Benched(msgspec.Struct, frozen=True, kw_only=True):
    """One engine with one model."""

    engine: str
    version: str | None
    device: str
    model: str
    prefill_tps: float
    """Tokens per second, as in the next."""

    decode_tps: float
    at: float
    """Unix seconds."""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    benched: list[Benched] = []


def read_benched(file: Path) -> Sequence[Benched]:
    """Read the latest bench; nothing where there was none."""
    try:
        read = msgspec.json.decode(file.read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError):
        return ()
    return tuple(read.benched) if read.format == FORMAT else ()


def read_speeds(file: Path) -> Mapping[str, float]:
    """By engine: tokens per second of one stream."""
    return {one.engine: one.decode_tps for one in read_benched(file)}


def write_benched(file: Path, benched: Sequence[Benched]) -> None:
    """Replace the last bench: figures of two days are not compared."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(_File(benched=list(benched))))
    os.replace(draft, file)  # noqa: PTH105  # the one that is atomic
