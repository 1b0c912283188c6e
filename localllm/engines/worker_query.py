"""Asks a worker which devices its library can compute on: in a process of its own, since it may crash in a driver."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from localllm.engines.base import EngineDevice
from localllm.engines.diagnosis import diagnose
from localllm.engines.query import ask
from localllm.hardware.machine import DeviceKind

_KINDS = {
    "cuda": DeviceKind.CUDA,
    "metal": DeviceKind.METAL,
    "mtl": DeviceKind.METAL,
    "rocm": DeviceKind.ROCM,
}


class _SeenDevice(msgspec.Struct):
    name: str
    description: str
    memory_total: int | None
    memory_free: int | None


class _Seen(msgspec.Struct):
    """What a worker prints at `--devices`."""

    version: str
    devices: tuple[_SeenDevice, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker told of itself."""

    version: str
    devices: tuple[EngineDevice, ...]
    hint: str | None
    """Why there are fewer devices than there may be, where the library said so."""


def program_of(worker: str) -> Sequence[str]:
    """The command line of a worker's module, which never imports from the working directory."""
    return (sys.executable, "-P", "-m", worker)


def ask_worker(worker: str, environment: Mapping[str, str]) -> Told | str:
    """Ask it; a text says why there is no answer."""
    answer = ask((*program_of(worker), "--devices"), environment)
    if answer.failure is not None:
        return answer.failure
    try:
        seen = msgspec.json.decode(answer.last_line, type=_Seen)
    except msgspec.DecodeError as error:
        return f"its device list is unreadable: {error}"
    known = diagnose(answer.text)
    devices = tuple(
        EngineDevice(d.name, kind_of(d.name), d.description, d.memory_total, d.memory_free)
        for d in seen.devices
    )
    return Told(seen.version, devices, None if known is None else known.why)


def kind_of(name: str) -> DeviceKind:
    """Tell the kind of a device by the name that llama.cpp gives it, as in Vulkan0.

    An unknown backend counts as Vulkan does: named by the engine alone.
    """
    lowered = name.lower()
    return next(
        (kind for prefix, kind in _KINDS.items() if lowered.startswith(prefix)), DeviceKind.VULKAN
    )
