"""The engines against the hardware: a build for the processor beside a card is slow, and says nothing."""

from __future__ import annotations

from collections.abc import Iterator

from localllm.api.status_views import InstanceView
from localllm.catalog.builds import Drives
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.checkup.packages import nvidia_driver
from localllm.config.settings import Settings
from localllm.engines.builds.fitting import fitting, this_runtime
from localllm.engines.builds.shelf import Shelf, Shelved
from localllm.hardware.machine import DeviceKind, Machine

_A = Area.ENGINE
_ANOTHER = "localllm engine install"


def check_builds(known: Known) -> Iterator[Finding]:
    """Whether what computes uses the card that is there."""
    machine = known.machine.get()
    if machine is None:
        return
    cards = _cards(machine)
    for warning in known.probe_warnings:
        if not is_of_nvidia(warning):
            yield Finding("engine.probe", _A, Severity.NOTE, warning, None, "localllm probe")
    if not cards:
        yield ok("engine.card", _A, "There is no card: the processor computes.")
        return
    status, served = known.status, False
    if status is not None:
        allowed = _may_use_the_processor(known)
        for model in status.models:
            served = served or model.state == "ready"
            yield from _of_model(model, cards[0], allowed=allowed)
    yield from _of_shelf(known, machine, cards[0], served=served)


def is_of_nvidia(warning: str) -> bool:
    """Whether a warning of the probe's is about NVIDIA's driver, which is looked at by itself."""
    return "NVIDIA" in warning or "libnvidia-ml" in warning


def _cards(machine: Machine) -> list[str]:
    names = [one.name for one in machine.accelerators()]
    return names + [one.name for one in machine.graphics if one.discrete]


def _may_use_the_processor(known: Known) -> bool:
    settings = known.settings.get()
    return isinstance(settings, Settings) and settings.allow_cpu


def _of_model(model: InstanceView, card: str, *, allowed: bool) -> Iterator[Finding]:
    layers = model.layers
    if model.state != "ready" or layers.total == 0:
        return
    if layers.on_device == 0:
        yield Finding(
            "engine.on-processor",
            _A,
            Severity.NOTE if allowed else Severity.PROBLEM,
            f"{model.id} is computed by the processor, and {card} stands idle.",
            f"its engine is {model.engine} on {model.device}: ten times slower, mostly",
            f"{_ANOTHER} && localllm up {word(model.id)}",
        )
    elif layers.on_device < layers.total:
        yield Finding(
            "engine.partly",
            _A,
            Severity.NOTE,
            f"{layers.total - layers.on_device} of {layers.total} layers of {model.id} are on the "
            "processor.",
            "that much did not fit on the card; each of them slows every token down",
            f"localllm plan {word(model.id)} --explain",
        )
    else:
        yield ok("engine.on-card", _A, f"{model.id} is on {model.device}, all of it.")


def _of_shelf(known: Known, machine: Machine, card: str, *, served: bool) -> Iterator[Finding]:
    builds = [one for one in Shelf(known.place.paths.engines).builds() if one.in_use]
    for shelved in builds:
        why = _why_not(shelved, machine)
        if why is not None:
            yield Finding(
                "engine.does-not-fit",
                _A,
                Severity.PROBLEM,
                f"{shelved.build.title} cannot use this machine.",
                why,
                nvidia_driver(known.place) if "driver" in why else _ANOTHER,
            )
    if served or any(one.build.drives is not Drives.CPU for one in builds):
        return
    if any(one.kind is DeviceKind.METAL for one in machine.devices):
        yield ok("engine.card", _A, "The engine that comes along uses Metal.")
    elif not _has_own(known):
        yield Finding(
            "engine.none-for-card",
            _A,
            Severity.NOTE if known.status is None else Severity.WARNING,  # it is fetched by `up`
            f"{card} is here, and no engine that was fetched can use it.",
            "localllm up offers one that can; what comes along is for the processor",
            _ANOTHER,
        )


def _why_not(shelved: Shelved, machine: Machine) -> str | None:
    judged = fitting(machine, (shelved.build,), this_runtime((shelved.build,)))
    return judged[0].why_not if judged else "it is for another system, or other cards"


def _has_own(known: Known) -> bool:
    """Whether the user brings a llama-server, of which only its own list tells what it uses."""
    settings = known.settings.get()
    return isinstance(settings, Settings) and settings.llama_server is not None
