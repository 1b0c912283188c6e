"""Draw the documents for a terminal. Pure: a view in, lines out."""

from __future__ import annotations

from localllm.api.status_views import InstanceView, RequestsView, StatusView
from localllm.api.views import DeviceView, ProbeView
from localllm.cli.tables import table
from localllm.units import duration
from localllm.wording.config import what_is_wrong
from localllm.wording.figures import counted, size_of, speed_of
from localllm.wording.plans import how_kept
from localllm.wording.recorded import what_is_recorded
from localllm.wording.saved import what_was_saved

_GIGA = 1_000_000_000
_DETAILS = (
    ("driver", "driver"),
    ("cuda_version", "CUDA"),
    ("compute_capability", "compute"),
    ("uuid", ""),
    ("pci_bus", "PCI"),
)


def render_probe(view: ProbeView) -> list[str]:
    """Draw the machine: one line a device, then what else is known, then the warnings."""
    host = view.host
    lines = [
        f"{host.cpu or 'processor'}, {host.cores} cores, "
        f"{' '.join(filter(None, (host.os, host.os_version, host.arch)))}"
        f"{', WSL2' if host.wsl else ''}",
        "",
        *table(
            [
                ["device", "name", "total", "free", "usable", "bandwidth", "source"],
                *map(_device, view.devices),
            ]
        ),
    ]
    lines += [f"  {d.id}: {text}" for d in view.devices if (text := _details(d))]
    return lines + [f"warning: {text}" for text in view.warnings]


def _device(device: DeviceView) -> list[str]:
    bandwidth = "-" if device.bandwidth is None else f"{device.bandwidth / _GIGA:.0f} GB/s"
    sizes = [size_of(b) for b in (device.memory_total, device.memory_free, device.memory_usable)]
    return [device.id, device.name, *sizes, bandwidth, device.source]


def _details(device: DeviceView) -> str:
    facts = [
        f"{label} {getattr(device, name)}".strip()
        for name, label in _DETAILS
        if getattr(device, name)
    ]
    if device.power_limit_w is not None:
        facts.append(f"{device.power_limit_w:.0f} W")
    held = sum(h.bytes or 0 for h in device.held_by_others or [])
    if held:
        others = counted(len(device.held_by_others or []), "other process", "other processes")
        facts.append(f"{size_of(held)} held by {others}")
    return ", ".join(facts)


def render_status(view: StatusView) -> list[str]:
    """Draw the daemon and its models, and of a broken one the engine's last words."""
    daemon = view.daemon
    lines = [
        f"localllm {daemon.version}, pid {daemon.pid}, up {duration(daemon.uptime)}, {daemon.endpoint}",
    ]
    saved = () if view.saved is None else what_was_saved(view.saved)
    lines += [": ".join(saved)] if saved else []
    lines += [what_is_recorded(view.recording)] if view.recording else []
    lines.append("")
    lines += [f"warning: {text}" for text in view.warnings]
    if view.config is not None:
        lines += [
            f"{level}: {text}" + (f"; fix: {fix}" if fix else "")
            for level, text, fix in what_is_wrong(view.config)
        ]
    if not view.models:
        return [*lines, "no model is served; localllm up starts one"]
    head = [
        "model",
        "state",
        "engine",
        "device",
        "layers",
        "context",
        "memory",
        "speed",
        "requests",
    ]
    lines += table([head, *map(_instance, view.models)])
    for model in view.models:
        lines += [f"{model.id}: warning: {text}" for text in model.warnings]
        lines += [f"{model.id}: {text}" for text in _stay(model)]
        if model.engine_args:
            lines.append(f"{model.id}: flags of your own: {' '.join(model.engine_args)}")
        if model.error is not None:
            lines += ["", f"{model.id} {model.state}: {model.error.reason}"]
            lines += [f"  | {line}" for line in model.error.log]
    return lines


def _stay(model: InstanceView) -> list[str]:
    """What there is to say of how long it and its prompts stay, and who waits for what."""
    said = ["for long prompts"] if model.lane == "long" else []
    if model.prompts is not None:
        said.append(f"prompts are {how_kept(model.prompts)}")
    if model.pinned:
        said.append("pinned")
    if model.unload_in is not None:
        said.append(f"is unloaded in {duration(model.unload_in)} if nobody uses it")
    if model.gap:
        said.append(f"no model was ready for {model.gap:.1f} s when it took over")
    if model.held is not None:
        said.append(f"requests wait: {model.held}")
    if model.wanted and model.state == "stopped":
        said.append(f"waits: {model.why}")
    return said


def _instance(model: InstanceView) -> list[str]:
    measured = model.memory.measured
    memory = f"{size_of(model.memory.predicted)} planned" if measured is None else size_of(measured)
    device = model.device if model.layers.on_device else "processor"
    return [
        model.id,
        model.state,
        model.engine,
        device,
        f"{model.layers.on_device}/{model.layers.total}",
        str(model.context),
        memory,
        speed_of(model.speed.measured_tps),
        _requests(model.requests),
    ]


def _requests(view: RequestsView) -> str:
    here = f"{view.active} active, {view.waiting} waiting, {view.total} done"
    return f"{here}, {view.remote} by the remote" if view.remote else here
