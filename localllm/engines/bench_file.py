"""What `engine bench` measured on this machine, for the choice between engines that can do the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from localllm.versioned import Kind, read_if_known, write_versioned

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


KIND = Kind("how fast engines are", _File, FORMAT)


def read_benched(file: Path) -> Sequence[Benched]:
    """Read the latest bench; nothing where there was none."""
    read = read_if_known(file, KIND)
    return () if read is None else tuple(read.benched)


def read_speeds(file: Path) -> Mapping[str, float]:
    """By engine: tokens per second of one stream."""
    return {one.engine: one.decode_tps for one in read_benched(file)}


def write_benched(file: Path, benched: Sequence[Benched]) -> None:
    """Replace the last bench: figures of two days are not compared.

    Raises:
        NewerFile: A later version has written it; it stays.
        OSError: The disk does not take it.
    """
    write_versioned(file, KIND, _File(benched=list(benched)))
