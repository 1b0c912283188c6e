"""What engines say when they fail, and what it means."""

from __future__ import annotations

import pytest

from localllm.engines.diagnosis import diagnose
from localllm.units import how_it_ended


@pytest.mark.parametrize(
    ("said", "why", "fix"),
    [
        (how_it_ended(-4), "instructions that this processor lacks", "localllm engine install"),
        ("llama-server: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file", "libcudart.so.12 is missing", "localllm engine install"),
        ("libvulkan.so.1: cannot open shared object file", "the Vulkan loader", "libvulkan1"),
        ("libcuda.so.1: cannot open shared object file", "belongs to the NVIDIA driver", "container"),
        ("libhipblas.so.2: cannot open shared object file", "ROCm", "Vulkan"),
        ("libgomp.so.1: cannot open shared object file", "libgomp.so.1 is missing", "libgomp.so.1"),
        ("/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by libggml.so)", "needs glibc 2.38", "localllm engine install"),
        ("ggml_cuda_init: failed to initialize CUDA: CUDA driver version is insufficient for CUDA runtime version", "driver is older", "update the NVIDIA driver"),
        ("CUDA error: the provided PTX was compiled with an unsupported toolchain.", "driver is older", "update the NVIDIA driver"),
        ("Failed to initialize NVML: Driver/library version mismatch", "was updated", "restart the computer"),
        ("CUDA error: no kernel image is available for execution on the device", "no code for this card", "localllm engine install"),
        ("CUDA error: device kernel image is invalid", "no code for this card", "localllm engine install"),
        ("ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9000.00 MiB on device 0: cudaMalloc failed: out of memory", "run out of memory", "--context"),
        ("ggml_vulkan: Device memory allocation of size 1073741824 failed. vk::Device::allocateMemory: ErrorOutOfDeviceMemory", "run out of memory", "--context"),
        ("llama_model_load: error loading model: unknown model architecture: 'qwen9'", "architecture qwen9", "newer"),
        ("terminate called after throwing an instance of 'vk::DeviceLostError' what(): vk::Queue::submit: ErrorDeviceLost", "device was lost", "kernel's log"),
        ("CUDA error: forward compatibility was attempted on non supported HW", "compatibility library", "LD_LIBRARY_PATH"),
    ],
)  # fmt: skip
def test_a_known_failure_is_explained_with_its_cure(said: str, why: str, fix: str) -> None:
    found = diagnose(f"a line before\n{said}\nand one after")

    assert found is not None
    assert why in found.why
    assert fix in found.fix


@pytest.mark.parametrize("said", ["", "exited with 1", "srv  update_slots: all slots are idle"])
def test_what_is_not_known_gets_no_diagnosis(said: str) -> None:
    assert diagnose(said) is None
