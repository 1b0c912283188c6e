"""Whether NVIDIA's cards still answer, and how hot they are; the second door to NVML.

Asks only for cards that were found before, by their UUID. Never raises, never starts CUDA, and
never leaves NVML open: an open one keeps a driver from being unloaded and a card from sleeping.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pynvml  # type: ignore[import-untyped]

from localllm.events import DeviceId
from localllm.hardware.machine import Device
from localllm.hardware.vitals import DeviceVitals

_GONE = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "the card is lost: it fell off the bus or hangs",
    pynvml.NVML_ERROR_RESET_REQUIRED: "the card must be reset",
    pynvml.NVML_ERROR_NOT_FOUND: "the driver does not list the card any more",
    pynvml.NVML_ERROR_GPU_NOT_FOUND: "the driver does not list the card any more",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded any more",
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 is not there any more",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was replaced by another version",
}
_GONE_WHEN_LOOKED_FOR = {
    **_GONE,
    # What many drivers say of one card that fell off the bus (open-gpu-kernel-modules #387).
    # From nvmlInit it means that a container lost its rights, which running engines survive.
    pynvml.NVML_ERROR_UNKNOWN: "the driver cannot reach the card (Unknown Error)",
}
_GONE_WHEN_ASKED = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)

# The second name is for those who lack the first: pynvml from CUDA 14 on, and old drivers.
_MEMORY = ("nvmlDeviceGetMemoryInfo",)
_TEMPERATURE = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
_POWER = ("nvmlDeviceGetPowerUsage",)
_UTILIZATION = ("nvmlDeviceGetUtilizationRates",)
_ENERGY = ("nvmlDeviceGetTotalEnergyConsumption",)
"""Millijoules since the driver was loaded; from Volta on."""

_SLOWDOWNS = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)
_TOO_HOT = (
    pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonSwThermalSlowdown
)
_BRAKE = pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown


def probe_card_vitals(cards: Sequence[Device]) -> dict[DeviceId, DeviceVitals]:
    """Ask for every one of `cards`, each of which has a UUID."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as refusal:
        return dict.fromkeys((card.id for card in cards), _without(refusal, _GONE))
    try:
        return {card.id: _probe_card(card) for card in cards}
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def decide_slowed(reasons: int | None, temperature_c: int | None) -> str | None:
    """Say why a card is slower than it could be; its own power limit is no news.

    `reasons` are NVML's bits, nvmlClocksEventReason...; None where the driver does not tell.
    """
    if reasons is None or not reasons & (_TOO_HOT | _BRAKE):
        return None
    if not reasons & _TOO_HOT:
        return "slowed down because the power supply demands it"
    return (
        "slowed down to cool"
        if temperature_c is None
        else f"{temperature_c} °C: slowed down to cool"
    )


def _probe_card(card: Device) -> DeviceVitals:
    try:
        handle = _find(card)
    except pynvml.NVMLError as refusal:
        return _without(refusal, _GONE_WHEN_LOOKED_FOR)
    try:
        return _interview(handle)
    except pynvml.NVMLError as refusal:
        return _without(refusal, _GONE)


def _find(card: Device) -> Any:  # noqa: ANN401  # pynvml has no types
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(card.uuid)
    except pynvml.NVMLError as refusal:
        # Looking for a UUID, NVML visits all cards, and fails when "any GPU has fallen off the
        # bus" (nvml.h): a healthy card must not be given up for its neighbour.
        lost = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_UNKNOWN)
        if refusal.value not in lost or card.pci_bus is None:
            raise
        return pynvml.nvmlDeviceGetHandleByPciBusId(card.pci_bus)


def _interview(handle: Any) -> DeviceVitals:  # noqa: ANN401
    memory = _ask(_MEMORY, handle)
    temperature_c = _ask(_TEMPERATURE, handle, pynvml.NVML_TEMPERATURE_GPU)
    milliwatts, used = _ask(_POWER, handle), _ask(_UTILIZATION, handle)
    millijoules = _ask(_ENERGY, handle)
    return DeviceVitals(
        lost=None,
        memory_free=None if memory is None else memory.free,
        throttled=decide_slowed(_ask(_SLOWDOWNS, handle), temperature_c),
        temperature_c=temperature_c,
        power_w=None if milliwatts is None else milliwatts / 1000,
        utilization=None if used is None else used.gpu / 100,
        energy_j=None if millijoules is None else millijoules / 1000,
    )


def _ask(names: tuple[str, ...], *about: object) -> Any:  # noqa: ANN401
    """Put one question under the first name that is known and answered; a refusal is None.

    Raises:
        NVMLError: The card is gone.
    """
    for name in names:
        question = getattr(pynvml, name, None)
        if question is None:
            continue
        try:
            return question(*about)
        except pynvml.NVMLError as refusal:
            if refusal.value in _GONE_WHEN_ASKED:
                raise
    return None


def _without(refusal: Any, gone: dict[int, str]) -> DeviceVitals:  # noqa: ANN401
    return DeviceVitals(
        lost=gone.get(refusal.value), memory_free=None, throttled=None, temperature_c=None
    )
