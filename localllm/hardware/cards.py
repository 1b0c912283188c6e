"""What no driver tells about a card: bandwidth, speed, and what to leave to the desktop.

Reads profiles/hardware/*.toml. Never guesses: a card that no file names has no bandwidth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from localllm.errors import ConfigError
from localllm.hardware.machine import DeviceKind
from localllm.units import GIB, MIB

DEFAULT_RESERVE_BYTES = 1 * GIB
"""For a card that no profile names: it may well drive a screen."""

ECC_SHARE = 0.07
"""How far what a driver tells may be from what is sold: error correction alone takes 1/16."""


@dataclass(frozen=True, slots=True)
class Card:
    """One model of card or chip, as a profile describes it."""

    names: tuple[str, ...]
    """As NVML or sysctl spells them, without "NVIDIA" and in lower case."""

    source: str
    """The file that says so."""

    title: str
    """The first name as the maker spells it."""

    kind: DeviceKind = DeviceKind.CUDA
    cpu_cores: int | None = None
    """Only the variant with so many cores; None for all that go by these names."""

    alias: str | None = None
    """What `plan --for` calls it; None for what cannot be planned for from afar."""

    memory_sizes: tuple[int, ...] = ()
    """Bytes, as the driver tells, of every size that is sold; empty if nobody vouches for any."""

    unified: bool = False
    compute_capability: str | None = None
    bandwidth: int | None = None
    half_precision_flops: float | None = None
    reserve_bytes: int = DEFAULT_RESERVE_BYTES

    def size_near(self, memory_bytes: int) -> int | None:
        """Find the size that is sold as, or that another driver tells as, `memory_bytes`."""
        near = (s for s in self.memory_sizes if abs(s - memory_bytes) <= ECC_SHARE * memory_bytes)
        return next(near, None)


Name = Annotated[str, msgspec.Meta(min_length=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(gt=0)]
Mebibytes = Annotated[int, msgspec.Meta(ge=0)]
Capability = Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+$")]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    names: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1)]
    cpu_cores: Count | None = None
    alias: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] | None = None
    memory_mib: tuple[Count, ...] = ()
    memory_gib: tuple[Count, ...] = ()
    unified: bool = False
    compute_capability: Capability | None = None
    bandwidth_gb_s: Positive | None = None
    half_precision_tflops: Positive | None = None
    reserve_mib: Mebibytes = DEFAULT_RESERVE_BYTES // MIB


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    format: Literal[1]
    cards: tuple[_Entry, ...]
    kind: Literal["cuda", "metal"] = "cuda"


def read_cards(folder: Path) -> tuple[Card, ...]:
    """Read every profile in `folder`, in the order of the files' names.

    Raises:
        ConfigError: A file is no TOML, or has an unknown, missing or absurd field.
    """
    return tuple(card for path in sorted(folder.glob("*.toml")) for card in _read_file(path))


def find_card(
    cards: Iterable[Card],
    name: str,
    *,
    cpu_cores: int | None = None,
    memory_bytes: int | None = None,
) -> Card | None:
    """Find the card of exactly this name; a variant only if its cores are these.

    Of several sizes with figures of their own, the one of `memory_bytes`, else the first.
    """
    wanted = _plain(name)
    found = [c for c in cards if wanted in c.names and c.cpu_cores in (None, cpu_cores)]
    sized = (c for c in found if memory_bytes and c.size_near(memory_bytes))
    return next(sized, found[0] if found else None)


def cards_called(cards: Iterable[Card], name: str) -> tuple[Card, ...]:
    """All variants that go by this alias or name, whatever sets its words apart."""
    wanted = _joined(name)
    return tuple(
        card for card in cards if wanted in map(_joined, (*card.names, card.alias or card.names[0]))
    )


def bytes_per_s(gigabytes_per_s: float | None) -> int | None:
    """Bandwidth as data sheets print it, in bytes per second."""
    return None if gigabytes_per_s is None else round(gigabytes_per_s * 1e9)


def flops(tflops: float | None) -> float | None:
    """Arithmetic as data sheets print it, in operations per second."""
    return None if tflops is None else tflops * 1e12


def _read_file(path: Path) -> tuple[Card, ...]:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} is not a valid hardware profile.",
            why=str(error),
            fix=f"correct that field in {path.name}, or install localllm again",
        ) from error
    return tuple(_card(entry, DeviceKind(file.kind), path.name) for entry in file.cards)


def _card(entry: _Entry, kind: DeviceKind, source: str) -> Card:
    return Card(
        names=tuple(_plain(name) for name in entry.names),
        source=source,
        title=entry.names[0],
        kind=kind,
        cpu_cores=entry.cpu_cores,
        alias=entry.alias,
        memory_sizes=(
            *(mib * MIB for mib in entry.memory_mib),
            *(gib * GIB for gib in entry.memory_gib),
        ),
        unified=entry.unified or kind is DeviceKind.METAL,
        compute_capability=entry.compute_capability,
        bandwidth=bytes_per_s(entry.bandwidth_gb_s),
        half_precision_flops=flops(entry.half_precision_tflops),
        reserve_bytes=entry.reserve_mib * MIB,
    )


def _joined(name: str) -> str:
    return re.sub(r"[\s_-]|^nvidia|geforce|^apple", "", name.casefold())


def _plain(name: str) -> str:
    """Drop what differs between driver versions: before R470 names had no "NVIDIA"."""
    return " ".join(name.casefold().removeprefix("nvidia ").split())
