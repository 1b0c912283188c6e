"""Machines, engines and plans of them, all made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from localllm.engines.base import EngineDevice, Installed
from localllm.events import DeviceId
from localllm.fit.plan import Wish
from localllm.hardware.machine import CPU, Device, DeviceKind, Host, Machine
from localllm.planning.choice import Choice
from localllm.planning.planner import Planned, budgets_of, giving_back, plan_model
from localllm.planning.survey import Survey, join
from localllm.store.stored import StoredModel
from tests.unit.fit.a_header import smollm2

GIB = 1 << 30
XLLAMACPP, LLAMA_SERVER = "xllamacpp", "llama-server"


def a_card(number: int = 0, name: str = "NVIDIA GeForce RTX 4090", **more: Any) -> Device:
    plain: dict[str, Any] = {
        "memory_total": 24 * GIB,
        "memory_free": 23 * GIB,
        "memory_usable": 22 * GIB,
        "uuid": f"GPU-{number}",
        "cuda_version": "13.0",
    }
    return Device(DeviceId(f"cuda:{number}"), DeviceKind.CUDA, name, "NVML", **{**plain, **more})


def a_mac_gpu(**more: Any) -> Device:
    return Device(
        DeviceId("metal:0"), DeviceKind.METAL, "Apple M2 Max", "sysctl", unified=True, **more
    )


def a_machine(*devices: Device, usable: int = 32 * GIB) -> Machine:
    host = Host("linux", "6.1", "x86_64", "EPYC", 6, 64 * GIB, usable)
    cpu = Device(CPU, DeviceKind.CPU, "EPYC", "psutil", 64 * GIB, usable, usable)
    return Machine(host, (*devices, cpu))


def cuda(number: int = 0, description: str = "NVIDIA GeForce RTX 4090") -> EngineDevice:
    return EngineDevice(
        f"CUDA{number}", DeviceKind.CUDA, description, 24 * GIB, (23 - number) * GIB
    )


def vulkan(number: int = 0, description: str = "llvmpipe (LLVM 15.0.6)") -> EngineDevice:
    return EngineDevice(f"Vulkan{number}", DeviceKind.VULKAN, description, 2 * GIB, 2 * GIB)


METAL = EngineDevice("MTL0", DeviceKind.METAL, "Apple M2 Max", 48 * GIB, 48 * GIB)


def an_engine(name: str, *devices: EngineDevice, version: str | None = "1.0") -> Installed:
    return Installed(name, version, (f"/opt/{name}",), devices)


def missing(name: str, reason: str) -> Installed:
    return Installed(name, None, (), reason=reason)


def a_survey(machine: Machine, *engines: Installed) -> Survey:
    return join(machine, engines or (an_engine(XLLAMACPP),))


def a_plan(
    machine: Machine | None = None,
    device: Device | None = None,
    seen: EngineDevice | None = None,
    *,
    context: int | None = 4096,
    reclaimable: dict[DeviceId, int] | None = None,
) -> Planned:
    """SmolLM2 on `device`; without one, on the processor."""
    whole = machine or a_machine(*([] if device is None else [device]))
    survey = a_survey(giving_back(whole, reclaimable or {}))
    header = replace(smollm2(), quantization="Q4_1")
    stored = StoredModel("smollm2", Path("/models/smol.gguf"), header.file_bytes, None)
    choice = Choice(
        survey.engines[0],
        () if device is None else (survey.machine.device(device.id),),
        () if seen is None else (seen,),
    )
    wish = Wish(context=context)
    budgets = budgets_of(choice, survey.machine)
    return plan_model(stored, header, choice, survey, budgets, wish)
