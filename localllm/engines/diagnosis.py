"""Why an engine failed, from its last words and its exit: in a sentence, with the cure. Pure.

The words are those of the loader, of CUDA, Vulkan, Metal and llama.cpp; what none of the rules knows
has no diagnosis, and its own words are shown instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ANOTHER_BUILD = "localllm engine install, which picks a build for this machine"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    why: str
    fix: str
    out_of_memory: bool = False
    """Less would do: fewer tokens, or smaller weights."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is looked for, and what it means; `{name}` is filled in from the pattern's groups."""

    pattern: re.Pattern[str]
    why: str
    fix: str
    out_of_memory: bool = False


def _rule(pattern: str, why: str, fix: str, *, out_of_memory: bool = False) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), why, fix, out_of_memory)


_RULES = (
    _rule(
        r"version `GLIBC_(?P<glibc>[\d.]+)' not found",
        "this build needs glibc {glibc}, which is newer than this system's",
        _ANOTHER_BUILD,
    ),
    _rule(
        r"lib(?P<name>cudart|cublas|cublasLt|nccl)\.so\.(?P<major>\d+): cannot open shared object",
        "NVIDIA's runtime library lib{name}.so.{major} is missing",
        "localllm engine install, whose builds bring NVIDIA's libraries with them",
    ),
    _rule(
        r"libcuda\.so\.1: cannot open shared object",
        "libcuda.so.1 is missing, which belongs to the NVIDIA driver",
        "install the NVIDIA driver; in a container, start it with the GPU passed through",
    ),
    _rule(
        r"libvulkan\.so\.1: cannot open shared object",
        "the Vulkan loader, libvulkan.so.1, is missing",
        "install it: libvulkan1 on Debian and Ubuntu, vulkan-loader on Fedora, vulkan-icd-loader on Arch",
    ),
    _rule(
        r"lib(?P<name>amdhip64|hipblas|rocblas|hsa-runtime64)\.so[.\d]*: cannot open shared object",
        "AMD's ROCm library lib{name}.so is missing",
        "install ROCm, or: localllm engine install, with a Vulkan build",
    ),
    _rule(
        r"(?P<name>lib[\w+.-]+\.so[.\d]*): cannot open shared object",
        "the shared library {name} is missing",
        "install the package that has {name}, or: " + _ANOTHER_BUILD,
    ),
    _rule(
        r"Driver/library version mismatch",
        "the NVIDIA driver was updated while its old kernel module is still loaded",
        "restart the computer",
    ),
    _rule(
        r"driver version is insufficient|unsupported toolchain|unsupported PTX|CUDA_ERROR_UNSUPPORTED_PTX",
        "the NVIDIA driver is older than this build needs",
        "update the NVIDIA driver, or: " + _ANOTHER_BUILD,
    ),
    _rule(
        r"forward compatibility was attempted on non supported HW",
        "a CUDA compatibility library hides the driver's own libcuda.so.1, and this card does not allow it",
        "take the compat folder of CUDA out of LD_LIBRARY_PATH",
    ),
    _rule(
        r"no kernel image is available|no device code for|not compiled for any of the following|invalid device function|kernel image is invalid",
        "this build has no code for this card",
        _ANOTHER_BUILD,
    ),
    _rule(
        r"unknown error.*CUDA|CUDA error: unknown error|CUDA error: initialization error",
        "the NVIDIA driver does not start",
        "nvidia-smi says more; after a suspend, `sudo modprobe -r nvidia_uvm` and again `sudo modprobe nvidia_uvm`, or restart",
    ),
    _rule(
        r"CUDA error: out of memory|cudaMalloc failed: out of memory|ErrorOutOfDeviceMemory|unable to allocate \w+ buffer|failed to allocate \S+ buffer|kIOGPUCommandBufferCallbackErrorOutOfMemory|Insufficient Memory",
        "the device has run out of memory",
        "end what else uses it (localllm probe shows it), or: localllm up --context with fewer tokens",
        out_of_memory=True,
    ),
    _rule(
        r"std::bad_alloc|Cannot allocate memory|MemoryError|failed to allocate",
        "the computer has run out of memory",
        "end other programs, or: localllm up --context with fewer tokens",
        out_of_memory=True,
    ),
    _rule(
        r"not within the file bounds|corrupted or incomplete|failed to read magic|invalid magic",
        "the model's file is cut short or damaged",
        "download it again, then: localllm up",
    ),
    _rule(
        r"unknown model architecture: '(?P<name>[^']+)'",
        "this engine does not know the architecture {name}",
        "localllm engine install, for a newer one",
    ),
    _rule(
        r"ErrorDeviceLost|GPU has fallen off the bus|\bXid\b|device lost",
        "the device was lost: its driver has reset it",
        "localllm up again; if it comes back, look into the kernel's log for the driver's reason",
    ),
    _rule(
        r"(cannot|could not|couldn't) bind|Address already in use",
        "its port was taken in the meantime",
        "localllm up again",
    ),
    _rule(
        r"illegal instruction",
        "this build needs instructions that this processor lacks",
        f"{_ANOTHER_BUILD}; then: localllm up --engine llama-server",
    ),
)


def diagnose(said: str) -> Diagnosis | None:
    """Recognise what went wrong.

    Args:
        said: The last lines of its log, and how it ended as `units.how_it_ended` has it.
    """
    for rule in _RULES:
        if (found := rule.pattern.search(said)) is not None:
            known = found.groupdict()
            return Diagnosis(rule.why.format(**known), rule.fix.format(**known), rule.out_of_memory)
    return None
