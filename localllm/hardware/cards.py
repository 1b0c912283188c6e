"""What no driver tells about a card: bandwidth, speed, and what to leave to the desktop.

Reads profiles/hardware/*.toml. Never guesses: a card that no file names has no bandwidth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localllm.errors import ConfigError
from localllm.units import GIB, MIB

DEFAULT_RESERVE_BYTES = 1 * GIB
"""For a card that no profile names: it may well drive a screen."""


@dataclass(frozen=True, slots=True)
class Card:
    """One model of card or chip, as a profile describes it."""

    names: tuple[str, ...]
    """As NVML or sysctl spells them, without "NVIDIA" and in lower case."""

    source: str
    """The file that says so."""

    cpu_cores: int | None = None
    """Only the variant with so many cores; None for all that go by these names."""

    bandwidth: int | None = None
    half_precision_flops: float | None = None
    reserve_bytes: int = DEFAULT_RESERVE_BYTES


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    names: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)
    ]
    cpu_cores: Annotated[int, msgspec.Meta(gt=0)] | None = None
    bandwidth_gb_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    half_precision_tflops: Annotated[float, msgspec.Meta(gt=0)] | None = None
    reserve_mib: Annotated[int, msgspec.Meta(ge=0)] = DEFAULT_RESERVE_BYTES // MIB


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    format: Literal[1]
    cards: tuple[_Entry, ...]


def read_cards(folder: Path) -> tuple[Card, ...]:
    """Read every profile in `folder`, in the order of the files' names.

    Raises:
        ConfigError: A file is no TOML, or has an unknown, missing or absurd field.
    """
    return tuple(card for path in sorted(folder.glob("*.toml")) for card in _read_file(path))


def find_card(cards: Iterable[Card], name: str, *, cpu_cores: int | None = None) -> Card | None:
    """Find the card of exactly this name; a variant only if its cores are these."""
    wanted = _plain(name)
    for card in cards:
        if wanted in card.names and card.cpu_cores in (None, cpu_cores):
            return card
    return None


def _read_file(path: Path) -> tuple[Card, ...]:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} is not a valid hardware profile.",
            why=str(error),
            fix=f"correct that field in {path.name}, or install localllm again",
        ) from error
    return tuple(_card(entry, path.name) for entry in file.cards)


def _card(entry: _Entry, source: str) -> Card:
    giga, tera = 1e9, 1e12
    speed, work = entry.bandwidth_gb_s, entry.half_precision_tflops
    return Card(
        names=tuple(_plain(name) for name in entry.names),
        source=source,
        cpu_cores=entry.cpu_cores,
        bandwidth=None if speed is None else round(speed * giga),
        half_precision_flops=None if work is None else work * tera,
        reserve_bytes=entry.reserve_mib * MIB,
    )


def _plain(name: str) -> str:
    """Drop what differs between driver versions: before R470 names had no "NVIDIA"."""
    return " ".join(name.casefold().removeprefix("nvidia ").split())
