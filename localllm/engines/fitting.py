"""Which builds would run on a machine, the preferred first, and why the others would not. Pure."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localllm.catalog.builds import Build, Drives
from localllm.hardware.machine import Device, DeviceKind, Machine

_OF_VENDOR = {"amd": (Drives.ROCM, Drives.VULKAN), "intel": (Drives.SYCL, Drives.VULKAN)}
_OF_KIND = {
    DeviceKind.CUDA: (Drives.CUDA, Drives.VULKAN),
    DeviceKind.METAL: (Drives.METAL,),
    DeviceKind.ROCM: (Drives.ROCM, Drives.VULKAN),
    DeviceKind.VULKAN: (Drives.VULKAN,),
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What of the system a build depends on, beside its devices."""

    glibc: str | None
    """None on macOS, and on a Linux with another C library."""

    python: str
    """As in 3.12."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A build, and whether it would run."""

    build: Build
    why_not: str | None = None
    """None: it would."""


def this_runtime() -> Runtime:
    """What this process runs on."""
    name, version = platform.libc_ver()
    return Runtime(version if name == "glibc" else None, f"3.{sys.version_info.minor}")


def fitting(machine: Machine, builds: Sequence[Build], runtime: Runtime) -> list[Candidate]:
    """Judge every build for this system, in the order in which they should be tried.

    What drives the machine's accelerators comes first, the processor last. Builds for other
    systems and other accelerators are left out: there is nothing to say of them.
    """
    ways = _ways(machine)
    judged = [
        Candidate(build, _why_not(build, machine, runtime))
        for build in builds
        if build.os == machine.host.os and build.arch == machine.host.arch and build.drives in ways
    ]
    judged.sort(key=lambda c: (c.why_not is not None, ways.index(c.build.drives)))
    return judged


def _ways(machine: Machine) -> list[Drives]:
    """What could drive something here, in order of preference."""
    ways = [way for device in machine.accelerators() for way in _OF_KIND[device.kind]]
    ways += [way for card in machine.graphics for way in _OF_VENDOR[card.vendor]]
    return list(dict.fromkeys([*ways, Drives.CPU]))


def _why_not(build: Build, machine: Machine, runtime: Runtime) -> str | None:
    return next(_reasons(build, machine, runtime), None)


def _reasons(build: Build, machine: Machine, runtime: Runtime) -> Iterator[str]:
    if build.python is not None and build.python != runtime.python:
        yield f"it is for Python {build.python}, this is {runtime.python}"
    if build.least_glibc is not None and older(runtime.glibc, build.least_glibc):
        have = f"this system has {runtime.glibc}" if runtime.glibc else "this system has none"
        yield f"it needs glibc {build.least_glibc}, {have}"
    if build.drives is Drives.CUDA:
        for device in machine.accelerators():
            if device.kind is DeviceKind.CUDA:
                yield from _cuda_reasons(build, device)


def _cuda_reasons(build: Build, device: Device) -> Iterator[str]:
    if build.least_driver is not None and older(device.driver, build.least_driver):
        yield (
            f"it needs the NVIDIA driver {build.least_driver} or newer, "
            f"{device.driver or 'an unknown one'} is installed"
        )
    compute, least, most = device.compute_capability, build.least_compute, build.most_compute
    if (least is not None and older(compute, least)) or (most is not None and older(most, compute)):
        yield _no_code(build, device)


def _no_code(build: Build, device: Device) -> str:
    span = f"{build.least_compute or '?'} to {build.most_compute or 'the newest'}"
    return (
        f"it has code for compute capabilities {span}, {device.name} has "
        f"{device.compute_capability or 'an unknown one'}"
    )


def older(have: str | None, than: str | None) -> bool:
    """Compare versions of numbers and dots; an unknown one counts as too old."""
    if have is None:
        return True
    return than is not None and _numbers(have) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, without trailing zeros: 13.0 is 13."""
    numbers = [int(part) for part in version.split(".") if part.isdigit()]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
