"""Looks at this installation for what its service's file says."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.api.exposure import addresses_of
from localllm.config.reading import read_settings
from localllm.config.settings import Settings
from localllm.paths import Paths
from localllm.service.environment import LeftOut, absolute, carried
from localllm.service.wanted import Wanted, socket_names, what_is_wanted

_SYSTEM_PATH = "/usr/bin:/usr/sbin:/bin:/sbin"
_GPUS = Path("/proc/driver/nvidia/gpus")
_BYPASS = Path("/sys/devices/system/cpu/vulnerabilities/spec_store_bypass")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a service would be here, and what of the environment does not go along."""

    wanted: Wanted
    left_out: tuple[LeftOut, ...]


def read_facts(paths: Paths, environment: Mapping[str, str], *, by_socket: bool) -> Facts:
    """Say what a service would be, by this interpreter and environment.

    Raises:
        ConfigError: The settings are wrong; a service with them would not start.
    """
    settings = read_settings(paths.config_file, environment)
    remote = settings.remote
    anywhere = absolute(environment, Path.cwd())
    chosen = carried(anywhere, None if remote is None else remote.key_env)
    wanted = what_is_wanted(
        sys.executable,
        chosen.variables,
        paths,
        sockets=_sockets(settings) if by_socket else (),
        first=device_command(),
        filters=not filters_slow_down(),
    )
    return Facts(wanted, chosen.left_out)


def renewed(installed: Wanted, paths: Paths) -> Wanted:
    """Say what this version would write in the place of a service, with the variables it has.

    Raises:
        ConfigError: The settings are wrong.
    """
    settings = read_settings(paths.config_file, installed.environment)
    return what_is_wanted(
        sys.executable,
        installed.environment,
        paths,
        sockets=_sockets(settings) if installed.sockets else (),
        first=device_command(),
        filters=not filters_slow_down(),
    )


def _sockets(settings: Settings) -> tuple[str, ...]:
    return socket_names(_those_here(addresses_of(settings.listen)), settings.port)


def _those_here(addresses: Sequence[str]) -> list[str]:
    """Leave out IPv6's loopback where there is none: systemd would open none of the sockets."""
    return [one for one in addresses if one != "::1" or _has_ipv6()]


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def device_command(gpus: Path = _GPUS, path: str = _SYSTEM_PATH) -> tuple[str, ...]:
    """Say how NVIDIA's devices are made where nothing has done it since the boot.

    CUDA starts nvidia-modprobe by itself, which is root by its file's mode; a service that may
    gain no rights cannot. Source: nvidia-modprobe(1).
    """
    program = shutil.which("nvidia-modprobe", path=path)
    if program is None:
        return ()
    try:
        count = len(list(gpus.iterdir()))
    except OSError:
        count = 0
    return (program, "-u", *(f"-c={number}" for number in range(max(count, 1))))


def filters_slow_down(file: Path = _BYPASS) -> bool:
    """Tell whether a filter of system calls makes all that a process computes slower.

    Linux before 5.16 takes a filtered process for one that runs foreign code, and has the
    processor speculate less. Source: Documentation/admin-guide/hw-vuln/spectre.rst, and the
    kernel's commit 2f46993d83ff.
    """
    try:
        return "seccomp" in file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
