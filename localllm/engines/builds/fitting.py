"""Which builds would run on a machine, the preferred first, and why the others would not."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from localllm.catalog.builds import Build, Drives
from localllm.hardware.machine import Device, DeviceKind, Machine

_OF_VENDOR: Mapping[str, tuple[Drives, ...]] = {
    "amd": (Drives.ROCM, Drives.VULKAN),
    "intel": (Drives.SYCL, Drives.VULKAN),
    "nvidia": (),  # whose driver has to be mended first
}
_OF_KIND = {
    DeviceKind.CUDA: (Drives.CUDA, Drives.VULKAN),
    DeviceKind.METAL: (Drives.METAL,),
    DeviceKind.ROCM: (Drives.ROCM, Drives.VULKAN),
    DeviceKind.VULKAN: (Drives.VULKAN,),
}


_EXACT_FROM = 12
"""Code for 12.0 is built as 120a, which is for that one alone. Source: llama.cpp,
ggml/src/ggml-cuda/CMakeLists.txt."""

_PACKAGES = {
    "libgomp.so.1": "libgomp1 on Debian and Ubuntu, libgomp on Fedora",
    "libssl.so.3": "libssl3 on Debian and Ubuntu, openssl-libs on Fedora",
    "libvulkan.so.1": "libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora",
    "libamdhip64.so": "ROCm 10",
    "librocblas.so": "ROCm 10",
    "libhipblas.so": "ROCm 10",
}


@dataclass(frozen=True, slots=True)
class Runtime:
    """What of the system a build depends on, beside its devices."""

    glibc: str | None
    """None on macOS, and on a Linux with another C library."""

    python: str
    """As in 3.12."""

    lacks: frozenset[str] = frozenset()
    """Shared libraries that builds need and the loader does not find."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A build, and whether it would run."""

    build: Build
    why_not: str | None = None
    """None: it would."""


def this_runtime(builds: Sequence[Build]) -> Runtime:
    """What this process runs on.

    Args:
        builds: Whose needs are looked for.
    """
    name, version = platform.libc_ver()
    needs = {need for build in builds for need in build.needs if build.os == sys.platform}
    lacks = frozenset(need for need in needs if not _can_be_loaded(need))
    return Runtime(version if name == "glibc" else None, f"3.{sys.version_info.minor}", lacks)


def _can_be_loaded(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


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
    for library in build.needs:
        if library in runtime.lacks:
            where = f" ({_PACKAGES[library]})" if library in _PACKAGES else ""
            yield f"it needs {library}, which is not installed{where}"
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
    if build.native and not _has_code(build, device.compute_capability):
        yield from _jit_reasons(build, device)


def _has_code(build: Build, compute: str | None) -> bool:
    """Machine code runs on later cards of its generation; from 12.0 on it is for exactly one."""
    if compute is None:
        return False
    major, minor = [*_numbers(compute), 0][:2]
    for native in build.native:
        its_major, its_minor = [*_numbers(native), 0][:2]
        same = minor == its_minor if major >= _EXACT_FROM else minor >= its_minor
        if major == its_major and same:
            return True
    return False


def _jit_reasons(build: Build, device: Device) -> Iterator[str]:
    """Say why the driver could not translate code for a card that there is no machine code for."""
    compute = device.compute_capability
    if build.jit_from is None or older(compute, build.jit_from):
        yield (
            f"it has no code for {device.name} (compute capability {compute or 'unknown'}; "
            f"it has code for {', '.join(build.native)})"
        )
    elif build.jit_driver is not None and older(device.driver, build.jit_driver):
        yield (
            f"for {device.name} its code has to be translated, which takes the NVIDIA driver "
            f"{build.jit_driver} or newer; {device.driver or 'an unknown one'} is installed"
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
