"""Containers: whether the card came along, the shared memory, and who looks after dead children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.place import Place
from localllm.units import GIB, size

_A = Area.CONTAINER
_MANY_DEAD = 10
"""A few are there at any time, for a moment."""

_INITS = frozenset(
    {
        "systemd",
        "init",
        "tini",
        "docker-init",
        "dumb-init",
        "catatonit",
        "s6-svscan",
        "runit",
        "runsv",
    }
    | {"podman-init", "launchd", "openrc-init", "busybox", "runc"}
)


def check_container(known: Known) -> Iterator[Finding]:
    """How a container is set up; nothing elsewhere."""
    place = known.place
    kind = container_kind(place)
    if kind is None:
        return
    found = [*_of_card(place, kind), *_of_init(place, kind), *_of_shared_memory(place, kind)]
    yield from found
    if not found:
        yield ok("container.set-up", _A, f"This is a container ({kind}), and it has what it needs.")


def container_kind(place: Place) -> str | None:
    """Name what runs this container; None outside of one."""
    if place.exists(".dockerenv"):
        return "docker"
    if place.exists("run/.containerenv"):
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in place.environment:
        return "kubernetes"
    stated = place.environment.get("container") or place.read("run/systemd/container").strip()
    return None if stated in {"", "wsl"} else stated


def is_inside(place: Place) -> bool:
    """Whether drivers and packages are the host's affair."""
    return container_kind(place) is not None


def _of_card(place: Place, kind: str) -> Iterator[Finding]:
    """The host's driver shows in /proc even where the container did not get the card."""
    if place.exists("proc/driver/nvidia/version") and not place.exists("dev/nvidiactl"):
        yield Finding(
            "container.no-gpu",
            _A,
            Severity.WARNING,
            "The host has an NVIDIA card, and this container was started without it.",
            "models are computed by the processor; the host needs nvidia-container-toolkit to pass it on",
            _run(kind, "--device nvidia.com/gpu=all" if kind == "podman" else "--gpus all"),
        )


def _of_init(place: Place, kind: str) -> Iterator[Finding]:
    first = place.read("proc/1/comm").strip()
    if first and first not in _INITS and _dead_children(place) >= _MANY_DEAD:
        yield Finding(
            "container.no-init",
            _A,
            Severity.NOTE,
            f"The first process of this container is {first}, which is no init.",
            "children of its that died are still in the process table, since nobody asks how they ended",
            _run(kind, "--init"),
        )


def _dead_children(place: Place) -> int:
    """How many ended and the first one has not asked how, or not yet. Fields: man proc_pid_stat."""
    states = (
        place.read(f"proc/{folder.name}/stat").rpartition(")")[2].split()
        for folder in place.lists("proc/[0-9]*")
    )
    return sum(state[:2] == ["Z", "1"] for state in states)


def _run(kind: str, option: str) -> str | None:
    """How the container is to be started, on its host; None where that is said elsewhere than in a command."""
    return f"{kind} run {option} ..." if kind in {"docker", "podman"} else None


def _of_shared_memory(place: Place, kind: str) -> Iterator[Finding]:
    """Only engines that compute on several cards use it: vLLM, SGLang."""
    try:
        told = os.statvfs(place.root / "dev/shm")
    except OSError:
        return
    total = told.f_blocks * told.f_frsize
    engines = [name for name in ("vllm", "sglang") if find_spec(name) is not None]
    if engines and total < GIB:
        yield Finding(
            "container.shared-memory",
            _A,
            Severity.WARNING,
            f"The shared memory has {size(total)}, and {', '.join(engines)} is here.",
            "on more than one card it exchanges tensors there, and fails with a bus error",
            _run(kind, "--shm-size 8g"),
        )
