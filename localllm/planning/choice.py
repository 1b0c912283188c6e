"""Which engine runs a model, and on what. Never on the processor by stealth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from localllm.engines.base import EngineDevice, Installed
from localllm.errors import EngineNeeded, EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.graphics import Graphics
from localllm.hardware.machine import Device, DeviceKind
from localllm.planning.survey import Survey

_HOW_TO_GET = {
    Format.GGUF: "localllm engine install, or put a llama-server on PATH or into config.toml",
    Format.MLX: "pip install mlx-lm, on a Mac with Apple's own chip",
    Format.SAFETENSORS: "install vllm or sglang, or choose a GGUF of the model: localllm plan",
}
_CAN_BE_FETCHED = frozenset({"llama-server", "xllamacpp"})
_BY_DRIVER = frozenset({DeviceKind.CUDA, DeviceKind.METAL})
"""Devices that a driver told of. Where there is one, a lesser one of an engine's own list
(a software device, an integrated one) is no way to use it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user and the model ask of an engine."""

    engine: str | None = None
    """By name; None: whichever is best."""

    format: Format = Format.GGUF
    allow_cpu: bool = False
    speeds: Mapping[str, float] = field(default_factory=dict[str, float])
    """By engine: tokens per second that `engine bench` measured here."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An engine and the devices it may compute on."""

    installed: Installed
    devices: tuple[Device, ...] = ()
    """In the order of preference; none: the processor."""

    seen: tuple[EngineDevice, ...] = ()
    """The same in the engine's words."""


def choose_engine(survey: Survey, wanted: Wanted) -> Choice:
    """Choose the engine that uses the accelerators; of those, the ones with most memory first.

    Where several do, the one that drives them by their maker's own way goes first, then the one
    that `engine bench` found quicker here, then the order in which engines are known.

    Raises:
        EngineUnusable: There is an accelerator and no engine that can use it, or no engine.
    """
    engines = _candidates(survey, wanted)
    accelerators = _that_count(survey.machine.accelerators())
    ways = [way for installed in engines if (way := _way(survey, installed, accelerators))]
    if ways:
        return max(ways, key=lambda way: _worth(way, wanted))
    if wanted.allow_cpu or not (accelerators or _cards(survey)):
        return Choice(max(engines, key=lambda e: wanted.speeds.get(e.engine, 0.0)))
    raise _would_run_on_the_processor(survey, engines, accelerators, wanted.format)


def _way(survey: Survey, installed: Installed, accelerators: Sequence[Device]) -> Choice | None:
    """What an engine would use of the accelerators; None if it reaches none."""
    reach = survey.reach[installed.engine]
    usable = [device for device in accelerators if device.id in reach]
    if not usable:
        return None
    alike = preferred(usable)
    if not _can_be_ordered(installed, alike):
        alike.sort(key=lambda device: installed.devices.index(reach[device.id]))
    return Choice(installed, tuple(alike), tuple(reach[d.id] for d in alike))


def _worth(way: Choice, wanted: Wanted) -> tuple[bool, float]:
    """Whether it drives the devices as their maker means it, and how fast it was found to be."""
    native = all(seen.kind is d.kind for d, seen in zip(way.devices, way.seen, strict=True))
    return native, wanted.speeds.get(way.installed.engine, 0.0)


def _cards(survey: Survey) -> Sequence[Graphics]:
    """Cards worth using that only an engine could make devices of, and none does."""
    return [card for card in survey.machine.graphics if card.discrete]


def preferred(devices: Sequence[Device]) -> list[Device]:
    """Those that go together, the one with most memory to spend first."""
    ordered = sorted(devices, key=lambda device: -(device.memory_usable or 0))
    return [device for device in ordered if device.kind is ordered[0].kind]


def _can_be_ordered(installed: Installed, devices: Sequence[Device]) -> bool:
    """Whether the engine takes devices in our order: by name, or by what it is shown of them."""
    return installed.engine != "xllamacpp" or all(d.uuid is not None for d in devices)


def _candidates(survey: Survey, wanted: Wanted) -> Sequence[Installed]:
    """Return the engines in order of preference, at least one."""
    name = wanted.engine
    known = survey.engines if name is None else [e for e in survey.engines if e.engine == name]
    if not known:
        names = ", ".join(e.engine for e in survey.engines)
        raise EngineUnusable(
            f"There is no engine {name!r}.",
            why=f"this version knows {names}",
            fix=f"localllm up --engine {survey.engines[0].engine}",
        )
    able = [e for e in known if wanted.format in e.formats]
    if not able:
        raise _serves_other_formats(known[0], survey, wanted.format)
    available = [e for e in able if e.available]
    if not available:
        fetched = wanted.format is Format.GGUF and (name is None or name in _CAN_BE_FETCHED)
        raise (EngineNeeded if fetched else EngineUnusable)(
            "No engine can be used." if name is None else f"{name} cannot be used.",
            why="; ".join(f"{e.engine}: {e.reason}" for e in able),
            fix=_HOW_TO_GET[wanted.format],
        )
    return available


def _serves_other_formats(installed: Installed, survey: Survey, format_: Format) -> EngineUnusable:
    others = [e.engine for e in survey.engines if format_ in e.formats] or ["none that is known"]
    return EngineUnusable(
        f"{installed.engine} does not serve {format_.value} models.",
        why=f"it serves {', '.join(sorted(f.value for f in installed.formats))}",
        fix=f"leave --engine out, or name one that does: {', '.join(others)}",
    )


def _that_count(accelerators: Sequence[Device]) -> Sequence[Device]:
    told = [device for device in accelerators if device.kind in _BY_DRIVER]
    return told or accelerators


def _would_run_on_the_processor(
    survey: Survey,
    engines: Sequence[Installed],
    accelerators: Sequence[Device],
    format_: Format,
) -> EngineUnusable:
    broken = [card for card in _cards(survey) if card.vendor == "nvidia"]
    if broken and not accelerators:
        return EngineUnusable(
            f"{broken[0].name} is here, and its driver does not answer.",
            why="NVIDIA's library NVML is missing, or refuses: nvidia-smi says more",
            fix="install the NVIDIA driver, or restart the computer after its update; or "
            "localllm up --allow-cpu to run on the processor",
        )
    names = ", ".join([d.name for d in accelerators] or [card.name for card in _cards(survey)])
    kind = EngineNeeded if format_ is Format.GGUF else EngineUnusable
    return kind(
        f"{names} is here, but no engine that is installed can use it.",
        why="; ".join(_what_it_reaches(e) for e in survey.engines if e in engines),
        fix=f"{_cure(survey, accelerators, format_)}, or localllm up --allow-cpu to run on the "
        "processor",
    )


def _what_it_reaches(installed: Installed) -> str:
    devices = ", ".join(d.description for d in installed.devices) or "the processor alone"
    hint = f" ({installed.hint})" if installed.hint is not None else ""
    return f"{installed.engine} {installed.version or ''} sees {devices}{hint}".replace("  ", " ")


def _cure(survey: Survey, accelerators: Sequence[Device], format_: Format) -> str:
    for installed in survey.engines:
        able = installed.available and format_ in installed.formats
        if able and any(d.id in survey.reach[installed.engine] for d in accelerators):
            return f"localllm up --engine {installed.engine}"
    if format_ is not Format.GGUF:
        return _HOW_TO_GET[format_]
    return "localllm engine install, which fetches one that does"
