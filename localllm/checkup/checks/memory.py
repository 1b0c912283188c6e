"""What bounds memory here: limits of the shell, of a control group, of macOS; and what has been swapped out."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from localllm.api.status_views import StatusView
from localllm.checkup.checks.containers import container_kind
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.checkup.place import Place
from localllm.config.settings import Settings
from localllm.hardware.cgroup import list_groups, read_limits
from localllm.hardware.linux_vitals import read_host_memory
from localllm.hardware.machine import DeviceKind, Machine
from localllm.hardware.vitals import Pressure, decide_pressure
from localllm.units import GIB, MIB, size

_A = Area.MEMORY
_FILES_EACH, _FILES_BESIDE = 2, 512
"""Per connection, and besides; as gateway/listening.py asks for them."""

_NARROW_SHARE = 0.9
"""Of the host: a limit above it bounds nothing that a plan would use."""

_SWAPPED_OUT_BYTES = 256 * MIB
_MACOS_DECIDES = "sudo sysctl iogpu.wired_limit_mb=0"
_OWN_CHOICE = 0.8
"""Of all memory; macOS itself stays below it (hardware.apple), and so on 8 GB leaves less than the least."""

_LOW_WIRED, _LEAST_FOR_MACOS_BYTES = 0.6, 3 * GIB


def check_limits(known: Known) -> Iterator[Finding]:
    """What the shell allows; the daemon has got it from whoever started it."""
    place = known.place
    limits = _limits(known)
    space = limits.get("address space")
    if space is not None:
        yield Finding(
            "memory.address-space",
            _A,
            Severity.PROBLEM,
            f"The address space of programs is limited to {size(space)} (ulimit -v).",
            "a model file is mapped as a whole, and engines set more aside than they use: loading fails "
            "as if memory had run out",
            "ulimit -v unlimited && localllm down && localllm up",
        )
    yield from _open_files(known, limits.get("open files"))
    locked = limits.get("locked memory")
    if locked is not None and _locks_memory(known.status):
        yield Finding(
            "memory.locked",
            _A,
            Severity.WARNING,
            f"An engine is to lock its model into memory (--mlock), and {size(locked)} may be locked "
            "(ulimit -l).",
            "the rest of it may be swapped out all the same; a new limit counts from the next login on",
            _limit_of(place, "memlock", "unlimited"),
        )
    if space is None:
        yield ok("memory.limits", _A, "No limit of the shell bounds a model.")


def _limits(known: Known) -> dict[str, int | None]:
    """The daemon's, where one runs and the system tells; else this shell's."""
    running = known.daemon.get()
    if running is not None:
        told = parse_limits(known.place.read(f"proc/{running.file.pid}/limits"))
        if told:
            return told
    return dict(known.place.limits)


def parse_limits(text: str) -> dict[str, int | None]:
    """Read the soft limits of /proc/PID/limits, by the names that `Place.limits` has."""
    names = {
        "Max address space": "address space",
        "Max locked memory": "locked memory",
        "Max open files": "open files",
    }
    told: dict[str, int | None] = {}
    for line in text.splitlines():
        for name, ours in names.items():
            if line.startswith(name):
                soft = line[len(name) :].split()[0]
                told[ours] = None if soft == "unlimited" else int(soft)
    return told


def _open_files(known: Known, files: int | None) -> Iterator[Finding]:
    """The daemon raises its own to what it may: a running one that has little could not.

    What a shell has says nothing of it, as on macOS, where a process's limits are not told.
    """
    settings, running = known.settings.get(), known.daemon.get()
    if not isinstance(settings, Settings) or files is None or running is None:
        return
    if not known.place.exists(f"proc/{running.file.pid}/limits"):
        return
    wanted = settings.max_connections * _FILES_EACH + _FILES_BESIDE
    if files < wanted:
        yield Finding(
            "memory.open-files",
            _A,
            Severity.NOTE,
            f"The daemon may open {files} files; {settings.max_connections} connections would take "
            f"{wanted}.",
            "clients beyond that are turned away; a new limit counts from the next login on",
            _limit_of(known.place, "nofile", "65536"),
        )


def _limit_of(place: Place, kind: str, value: str) -> str:
    """Say how a limit is set for all of a user's logins; a file for each, as `tee` writes over what is there."""
    line = word(f"{place.user} - {kind} {value}")
    return f"echo {line} | sudo tee /etc/security/limits.d/localllm-{kind}.conf"


def _locks_memory(status: StatusView | None) -> bool:
    models = [] if status is None else status.models
    return any("--mlock" in model.engine_args for model in models)


def check_pressure(known: Known) -> Iterator[Finding]:
    """What a control group allows, and how much is left now."""
    place = known.place
    if place.system == "darwin":
        return
    groups = list_groups(place.root)
    memory = read_host_memory(place.root, groups)
    limits = read_limits(place.root)
    host = _host_total(place)
    if limits.memory is not None and (host is None or limits.memory < _NARROW_SHARE * host):
        yield from _of_group(known, limits.memory, limits.memory_left, host)
    else:
        yield ok("memory.group", _A, "No control group bounds memory.")
    pressure, why = decide_pressure(memory)
    if pressure is not Pressure.NONE:
        yield Finding(
            "memory.short",
            _A,
            Severity.PROBLEM if pressure is Pressure.CRITICAL else Severity.WARNING,
            "Memory is short.",
            f"{why}; the kernel ends programs when none is left",
            "localllm status; ps -eo rss,comm --sort=-rss | head",
        )


def _of_group(known: Known, limit: int, left: int | None, host: int | None) -> Iterator[Finding]:
    status = known.status
    needed = 0 if status is None else _on_host(status)
    of = "" if host is None else f" of this computer's {size(host)}"
    if needed > limit:
        yield Finding(
            "memory.group",
            _A,
            Severity.PROBLEM,
            f"A control group allows {size(limit)}{of}, and what is served takes {size(needed)}.",
            "the kernel ends the engine when it gets there",
            _more_for_the_group(known.place, needed),
        )
        return
    yield Finding(
        "memory.group",
        _A,
        Severity.NOTE,
        f"A control group (a container, or a service) allows {size(limit)}{of}.",
        "plans keep within it" + (f"; {size(left)} is left" if left is not None else ""),
    )


def _more_for_the_group(place: Place, needed: int) -> str | None:
    """On the host, for a container; the name that Docker gives it is its own."""
    wanted, kind = -(-needed // GIB) + 2, container_kind(place)
    if kind in {"docker", "podman"}:
        return f"{kind} update --memory {wanted}g --memory-swap {wanted}g {socket.gethostname()}"
    if kind is not None:
        return None
    return f"systemctl --user set-property localllm.service MemoryMax={wanted}G"


def _on_host(status: StatusView) -> int:
    """What models take of the host's memory, in bytes."""
    return sum(
        part.predicted
        for model in status.models
        if model.wanted
        for part in model.placement
        if part.device == "cpu"
    )


def _host_total(place: Place) -> int | None:
    for line in place.read("proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    return None


def check_swap(known: Known) -> Iterator[Finding]:
    """Whether an engine's memory was swapped out: each token then waits for it."""
    status = known.status
    swapped = {
        model.id: held
        for model in ([] if status is None else status.models)
        if model.pid is not None and (held := _swapped(known.place, model.pid)) is not None
    }
    slow = {name: held for name, held in swapped.items() if held > _SWAPPED_OUT_BYTES}
    for name, held in slow.items():
        yield Finding(
            "memory.swapped-out",
            _A,
            Severity.WARNING,
            f"{size(held)} of {name}'s engine is swapped out.",
            "its answers wait until that is read back"
            + (", and zram packs a model's weights hardly at all" if _zram(known.place) else ""),
            f"localllm stop {word(name)} && localllm up {word(name)}",
        )
    if not slow:
        yield ok("memory.swap", _A, "Nothing of what is served is swapped out.")


def _swapped(place: Place, pid: int) -> int | None:
    for line in place.read(f"proc/{pid}/status").splitlines():
        if line.startswith("VmSwap:"):
            return int(line.split()[1]) * 1024
    return None


def _zram(place: Place) -> bool:
    return "/dev/zram" in place.read("proc/swaps")


def check_wired(known: Known) -> Iterator[Finding]:
    """How much of a Mac's memory its GPU may hold."""
    machine = known.machine.get()
    if machine is None or known.place.system != "darwin":
        return
    yield from _of_wired(machine)


def _of_wired(machine: Machine) -> Iterator[Finding]:
    for device in machine.devices:
        total, wired = device.memory_total, device.wired_limit
        if device.kind is not DeviceKind.METAL or total is None or wired is None:
            continue
        if total - wired < _LEAST_FOR_MACOS_BYTES and wired > _OWN_CHOICE * total:
            yield Finding(
                "memory.wired-high",
                _A,
                Severity.WARNING,
                f"The GPU may wire {size(wired)} of {size(total)} (iogpu.wired_limit_mb).",
                f"macOS keeps {size(total - wired)}: a Mac that is left less than 3 GiB stalls, or "
                "restarts",
                _MACOS_DECIDES,
            )
        elif wired < _LOW_WIRED * total:
            yield Finding(
                "memory.wired-low",
                _A,
                Severity.NOTE,
                f"The GPU may wire {size(wired)} of {size(total)} (iogpu.wired_limit_mb).",
                "larger models, or more context, would fit if it were allowed more; it is so until the "
                "next start of the Mac",
                _MACOS_DECIDES,
            )
        else:
            yield ok("memory.wired", _A, f"The GPU may wire {size(wired)} of {size(total)}.")
