"""What this machine has and which engine can use it: the probe and the engines' own lists, joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from localllm.engines.base import Engine, EngineDevice, Installed, cuda_environment
from localllm.events import DeviceId
from localllm.hardware.graphics import Graphics
from localllm.hardware.machine import CPU, Device, DeviceKind, Machine


@dataclass(frozen=True, slots=True)
class Survey:
    """A machine, and for each engine which of its devices it lists, under which name."""

    machine: Machine
    engines: tuple[Installed, ...]
    reach: Mapping[str, Mapping[DeviceId, EngineDevice]]
    """By the engine's name. An engine that reaches no device computes on the processor."""


def survey(
    machine: Machine,
    engines: Callable[[Mapping[str, str]], Sequence[Engine]],
    environment: Mapping[str, str],
) -> Survey:
    """Ask every engine for its devices and join them with what the drivers told.

    Args:
        engines: Makes the engines for the environment that they are to be asked in.
        environment: The daemon's; NVIDIA devices are put into it by UUID, so that the
            engine's order is the probe's.
    """
    uuids = [d.uuid for d in machine.devices if d.uuid is not None]
    asked_in = {**environment, **cuda_environment(uuids)}
    with ThreadPoolExecutor() as pool:  # each asks a process of its own, for most of a second
        found = pool.map(lambda engine: engine.find(), engines(asked_in))
        return join(machine, list(found))


def join(machine: Machine, found: Sequence[Installed]) -> Survey:
    """Match the engines' devices with the machine's; one that no driver told of is added."""
    reach: dict[str, Mapping[DeviceId, EngineDevice]] = {}
    undriven = [card for card in machine.graphics if not any(e.devices for e in found)]
    for installed in found:
        matched, unknown = _match(machine, installed)
        added = _as_devices(machine, unknown, installed.engine)
        machine = _with_devices(machine, [device for device, _ in added])
        reach[installed.engine] = {**matched, **{d.id: seen for d, seen in added}}
    warnings = (*machine.warnings, *(_undriven(card) for card in undriven))
    return Survey(replace(machine, warnings=warnings), tuple(found), reach)


def _undriven(card: Graphics) -> str:
    if card.vendor == "nvidia":
        return f"{card.name} is here, and its driver does not answer: see nvidia-smi."
    return (
        f"{card.name} is here, and no engine that is installed lists it: localllm engine install "
        "fetches one that may."
    )


def _match(
    machine: Machine, installed: Installed
) -> tuple[dict[DeviceId, EngineDevice], list[EngineDevice]]:
    """Pair devices of one kind in order, and others by name: a card seen through Vulkan."""
    left = list(machine.accelerators())
    matched: dict[DeviceId, EngineDevice] = {}
    unknown: list[EngineDevice] = []
    for seen in installed.devices:
        pair = next((d for d in left if _is_nth(d, seen)), None) or _named(left, seen)
        if pair is not None:
            left.remove(pair)
            matched[pair.id] = seen
        elif _named([machine.device(known) for known in matched], seen) is None:
            unknown.append(seen)  # else the same card through a second backend of the build
    return matched, unknown


def _is_nth(device: Device, seen: EngineDevice) -> bool:
    """Tell whether the order pairs them: asked by UUID in PCI order, the n-th is the n-th."""
    return device.kind is seen.kind and device.kind in {DeviceKind.CUDA, DeviceKind.METAL}


def _named(devices: Sequence[Device], seen: EngineDevice) -> Device | None:
    """Find the device by the longest name: an RTX 4070 Ti is no RTX 4070."""
    named = [d for d in devices if d.name.lower() in seen.description.lower()]
    return max(named, key=lambda d: len(d.name), default=None)


def _as_devices(
    machine: Machine, unknown: Sequence[EngineDevice], engine: str
) -> list[tuple[Device, EngineDevice]]:
    source = f"{engine}'s own device list"
    added: list[tuple[Device, EngineDevice]] = []
    for seen in unknown:
        number = sum(d.kind is seen.kind for d in machine.devices)
        number += sum(d.kind is seen.kind for d, _ in added)
        device = Device(
            id=DeviceId(f"{seen.kind}:{number}"),
            kind=seen.kind,
            name=seen.description,
            source=source,
            memory_total=seen.memory_total,
            memory_free=seen.memory_free,
            memory_usable=_usable(seen),
            sources={"memory_total": source, "memory_free": source},
        )
        added.append((device, seen))
    return added


def _usable(seen: EngineDevice) -> int | None:
    """Keep a tenth for what draws on such a device unseen; no driver tells what that is."""
    if seen.memory_free is None or seen.memory_total is None:
        return None
    return max(0, min(seen.memory_free, seen.memory_total - seen.memory_total // 10))


def _with_devices(machine: Machine, added: Sequence[Device]) -> Machine:
    """Put accelerators before the processor, which stays last."""
    accelerators = [*machine.accelerators(), *added]
    return replace(machine, devices=(*accelerators, machine.device(CPU)))
