"""Which engine runs a model, and on what. Never on the processor by stealth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.engines.base import EngineDevice, Installed
from localllm.errors import EngineUnusable
from localllm.hardware.machine import Device, DeviceKind
from localllm.planning.survey import Survey

_XLLAMACPP_INDEX = "https://xorbitsai.github.io/xllamacpp/whl"
_BY_DRIVER = frozenset({DeviceKind.CUDA, DeviceKind.METAL})
"""Devices that a driver told of. Where there is one, a lesser one of an engine's own list
(a software device, an integrated one) is no way to use it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and the devices it may compute on."""

    installed: Installed
    devices: tuple[Device, ...] = ()
    """In the order of preference; none: the processor."""

    seen: tuple[EngineDevice, ...] = ()
    """The same in the engine's words."""


def choose_engine(survey: Survey, wanted: str | None, *, allow_cpu: bool) -> Choice:
    """Choose the engine that uses the accelerators; of those, the ones with most memory first.

    Raises:
        EngineUnusable: There is an accelerator and no engine that can use it, or no engine.
    """
    engines = _candidates(survey, wanted)
    accelerators = _that_count(survey.machine.accelerators())
    if not accelerators:
        return Choice(engines[0])
    for installed in engines:
        reach = survey.reach[installed.engine]
        usable = [device for device in accelerators if device.id in reach]
        if usable:
            alike = preferred(usable)
            if not _can_be_ordered(installed, alike):
                alike.sort(key=lambda device: installed.devices.index(reach[device.id]))
            return Choice(installed, tuple(alike), tuple(reach[d.id] for d in alike))
    if allow_cpu:
        return Choice(engines[0])
    raise _would_run_on_the_processor(survey, engines, accelerators)


def preferred(devices: Sequence[Device]) -> list[Device]:
    """Those that go together, the one with most memory to spend first."""
    ordered = sorted(devices, key=lambda device: -(device.memory_usable or 0))
    return [device for device in ordered if device.kind is ordered[0].kind]


def _can_be_ordered(installed: Installed, devices: Sequence[Device]) -> bool:
    """Whether the engine takes devices in our order: by name, or by what it is shown of them."""
    return installed.engine != "xllamacpp" or all(d.uuid is not None for d in devices)


def _candidates(survey: Survey, wanted: str | None) -> Sequence[Installed]:
    """Return the engines in order of preference, at least one."""
    known = survey.engines if wanted is None else [e for e in survey.engines if e.engine == wanted]
    if not known:
        names = ", ".join(e.engine for e in survey.engines)
        raise EngineUnusable(
            f"There is no engine {wanted!r}.",
            why=f"this version knows {names}",
            fix=f"localllm up --engine {survey.engines[0].engine}",
        )
    available = [e for e in known if e.available]
    if not available:
        raise EngineUnusable(
            "No engine can be used." if wanted is None else f"{wanted} cannot be used.",
            why="; ".join(f"{e.engine}: {e.reason}" for e in known),
            fix="pip install xllamacpp, or put a llama-server on PATH or into config.toml",
        )
    return available


def _that_count(accelerators: Sequence[Device]) -> Sequence[Device]:
    told = [device for device in accelerators if device.kind in _BY_DRIVER]
    return told or accelerators


def _would_run_on_the_processor(
    survey: Survey, engines: Sequence[Installed], accelerators: Sequence[Device]
) -> EngineUnusable:
    names = ", ".join(device.name for device in accelerators)
    return EngineUnusable(
        f"{names} is here, but no engine that is installed can use it.",
        why="; ".join(_what_it_reaches(e) for e in survey.engines if e in engines or e.reason),
        fix=f"{_cure(survey, accelerators)}, or localllm up --allow-cpu to run on the processor",
    )


def _what_it_reaches(installed: Installed) -> str:
    if installed.reason is not None:
        return f"{installed.engine}: {installed.reason}"
    devices = ", ".join(d.description for d in installed.devices) or "the processor alone"
    return f"{installed.engine} {installed.version or ''} sees {devices}".replace("  ", " ")


def _cure(survey: Survey, accelerators: Sequence[Device]) -> str:
    for installed in survey.engines:
        if installed.available and any(
            d.id in survey.reach[installed.engine] for d in accelerators
        ):
            return f"localllm up --engine {installed.engine}"
    cuda = next((d for d in accelerators if d.kind is DeviceKind.CUDA), None)
    if cuda is None:
        return "put a llama-server that is built for it on PATH"
    if _version(cuda.cuda_version) < (12, 8):
        have = cuda.cuda_version or "an unknown CUDA"
        return f"update the NVIDIA driver (it offers {have}, engines need 12.8)"
    build = "cu132" if _version(cuda.cuda_version) >= (13, 2) else "cu128"
    return f"pip install --force-reinstall --index-url {_XLLAMACPP_INDEX}/{build} xllamacpp"


def _version(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in (text or "0").split(".") if part.isdigit())
