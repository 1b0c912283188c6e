"""A machine as a TOML file describes it: `plan --for my-box.toml`.

A file has a format, a host and any number of devices. What it does not say of a card that
profiles/hardware knows, the profile says:

    format = 1

    [host]
    memory_gib = 96             # the only one that is needed
    os = "linux"                # or "darwin"
    arch = "x86_64"
    cpu = "AMD Ryzen 9 9950X"
    cores = 16                  # physical ones

    [[devices]]
    name = "rtx3090"            # as in --for, as the driver says it, or any other
    count = 2
    memory_gib = 24             # needed for a card that is not known, and shares no memory
    kind = "cuda"               # or metal, rocm, vulkan
    unified = false             # true where it shares the host's memory
    bandwidth_gb_s = 936.2
    half_precision_tflops = 71
    compute_capability = "8.6"
    reserve_mib = 1024          # kept free for the desktop
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from localllm.errors import ConfigError
from localllm.hardware.cards import (
    Capability,
    Card,
    Count,
    Mebibytes,
    Name,
    Positive,
    bytes_per_s,
    cards_called,
    flops,
)
from localllm.hardware.machine import DeviceKind, Machine
from localllm.hardware.made_up import HOST_CORES, make_host, make_machine
from localllm.units import GIB, MIB

T = TypeVar("T")


class _Host(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    memory_gib: Positive
    os: Literal["linux", "darwin"] | None = None
    arch: Name | None = None
    cpu: Name | None = None
    cores: Count = HOST_CORES


class _Device(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: Name
    count: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    memory_gib: Positive | None = None
    kind: Literal["cuda", "metal", "rocm", "vulkan"] | None = None
    unified: bool | None = None
    bandwidth_gb_s: Positive | None = None
    half_precision_tflops: Positive | None = None
    compute_capability: Capability | None = None
    reserve_mib: Mebibytes | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    format: Literal[1]
    host: _Host
    devices: tuple[_Device, ...] = ()


def read_machine(file: Path, cards: Sequence[Card]) -> Machine:
    """Read what a file describes; `cards` are those that it need not describe.

    Raises:
        ConfigError: There is no such file, or it is not what this version reads.
    """
    try:
        told = msgspec.toml.decode(file.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read.",
            why=error.strerror or str(error),
            fix="give the path of a TOML file that describes a machine, or a name as in rtx5090",
        ) from error
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise _wrong(file, str(error)) from error
    found = [_card(device, told.host, file, cards) for device in told.devices]
    unified = sum(d.count for d, c in zip(told.devices, found, strict=True) if c.unified)
    if unified > 1:
        raise _wrong(file, "one device alone can share the host's memory")
    metal = any(card.kind is DeviceKind.METAL for card in found)
    host = make_host(
        round(told.host.memory_gib * GIB),
        os=told.host.os or ("darwin" if metal else "linux"),
        arch=told.host.arch,
        cpu=told.host.cpu,
        cores=told.host.cores,
    )
    each = [c for d, c in zip(told.devices, found, strict=True) for _ in range(d.count)]
    return make_machine(host, each)


def _card(told: _Device, host: _Host, file: Path, cards: Sequence[Card]) -> Card:
    """What the file says of a card, over what is known about it."""
    base = _known(told, host, cards)
    kind = DeviceKind(told.kind) if told.kind else base.kind
    card = replace(
        base,
        source=f"{file.name}, {base.source}" if base.source else file.name,
        kind=kind,
        memory_sizes=_sizes(told, base),
        unified=kind is DeviceKind.METAL or _said(told.unified, base.unified),
        bandwidth=_said(bytes_per_s(told.bandwidth_gb_s), base.bandwidth),
        half_precision_flops=_said(flops(told.half_precision_tflops), base.half_precision_flops),
        compute_capability=_said(told.compute_capability, base.compute_capability),
        reserve_bytes=base.reserve_bytes if told.reserve_mib is None else told.reserve_mib * MIB,
    )
    if card.unified and told.memory_gib is not None:
        raise _wrong(file, f"`{told.name}` shares the host's memory, so it has no `memory_gib`")
    if not card.unified and len(card.memory_sizes) != 1:
        raise _wrong(file, f"`{told.name}` needs `memory_gib`, for it is not known or has several")
    return card


def _known(told: _Device, host: _Host, cards: Sequence[Card]) -> Card:
    """The variant of this memory; of several, if nothing tells them apart, all sizes in one."""
    variants = cards_called(cards, told.name)
    if not variants:
        return Card(names=(told.name.casefold(),), source="", title=told.name)
    memory_gib = host.memory_gib if variants[0].unified else told.memory_gib
    if memory_gib is None:
        return replace(variants[0], memory_sizes=tuple(s for v in variants for s in v.memory_sizes))
    memory = round(memory_gib * GIB)
    return next((v for v in variants if v.size_near(memory)), variants[0])


def _sizes(told: _Device, known: Card) -> tuple[int, ...]:
    """As the driver tells it where a known size is meant, but never more than was said."""
    if told.memory_gib is None:
        return known.memory_sizes
    said = round(told.memory_gib * GIB)
    return (min(said, known.size_near(said) or said),)


def _said(told: T | None, known: T) -> T:
    return known if told is None else told


def _wrong(file: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{file} does not describe a machine.",
        why=why,
        fix="correct it: it needs `format = 1`, a [host] with memory_gib, and [[devices]] with a "
        "name each, and with memory_gib for a card that is not known",
    )
