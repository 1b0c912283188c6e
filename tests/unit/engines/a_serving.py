"""What an engine is asked to serve: SmolLM2's shape, with every number its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localllm.engines.base import EngineDevice, Serving
from localllm.hardware.machine import DeviceKind

VULKAN = EngineDevice("Vulkan0", DeviceKind.VULKAN, "llvmpipe (LLVM 15.0.6, 256 bits)")
CUDA = EngineDevice("CUDA0", DeviceKind.CUDA, "NVIDIA GeForce RTX 4090")
METAL = EngineDevice("MTL0", DeviceKind.METAL, "Apple M2 Max")


def on_processor(**more: Any) -> Serving:
    plain: dict[str, Any] = {
        "model_file": Path("/models/my model.gguf"),
        "file_bytes": 100 << 20,
        "alias": "smol",
        "context": 8192,
        "parallel": 4,
        "kv_type": "f16",
        "micro_batch": 512,
        "threads": 6,
        "host_cache_bytes": 720 << 20,
        "layers": 31,
    }
    return Serving(**{**plain, **more})


def on_device(device: EngineDevice, **more: Any) -> Serving:
    return on_processor(devices=(device,), split=(31,), **more)
