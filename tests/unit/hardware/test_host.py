"""The computer itself, as little of it as we are allowed."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from localllm.hardware.cgroup import Limits, read_limits
from localllm.hardware.host import decide_cores, is_wsl, normal_arch, probe_host
from localllm.units import MIB

V2 = "0::/user.slice/app\n"
V1 = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"


def a_root(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def v2(group: str, **files: str) -> dict[str, str]:
    return {
        f"sys/fs/cgroup/{group}/{name.replace('_', '.', 1)}": text for name, text in files.items()
    }


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({}, Limits()),
        ({"proc/self/cgroup": V2}, Limits()),
        (
            {
                "proc/self/cgroup": V2,
                **v2("user.slice/app", memory_max="max", cpu_max="max 100000"),
            },
            Limits(),
        ),
        (
            {
                "proc/self/cgroup": V2,
                **v2(
                    "user.slice/app",
                    memory_max="1000",
                    memory_current="700",
                    memory_stat="anon 100\ninactive_file 200\n",
                    cpu_max="150000 100000",
                ),
            },
            Limits(memory=1000, memory_left=500, cpus=1.5),
        ),
        (  # the parent allows more in all, but less is left of it
            {
                "proc/self/cgroup": V2,
                **v2(
                    "user.slice/app",
                    memory_max="1000",
                    memory_current="100",
                    cpu_max="300000 100000",
                ),
                **v2(
                    "user.slice", memory_max="5000", memory_current="4800", cpu_max="200000 100000"
                ),
            },
            Limits(memory=1000, memory_left=200, cpus=2.0),
        ),
        (  # a limit below what is used leaves nothing, not less than nothing
            {"proc/self/cgroup": V2, **v2("user.slice", memory_max="1000", memory_current="1200")},
            Limits(memory=1000, memory_left=0),
        ),
        (  # in a container the path is the host's, and only the mount's root is here
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "4000",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "1500",
                "sys/fs/cgroup/memory/memory.stat": "inactive_file 1\ntotal_inactive_file 500",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            Limits(memory=4000, memory_left=3000, cpus=0.5),
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000",
            },
            Limits(),
        ),
        (  # both versions at once, as older systemd mounts them
            {
                "proc/self/cgroup": V2 + V1,
                "sys/fs/cgroup/unified/user.slice/app/cpu.max": "300000 100000",
                "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "3000",
            },
            Limits(memory=3000, cpus=3.0),
        ),
        (  # a path out of our namespace leads nowhere
            {
                "proc/self/cgroup": "0::/../other\n",
                **v2("", memory_max="7"),
                "sys/fs/memory.max": "3",
            },
            Limits(memory=7),
        ),
    ],
)
def test_the_narrowest_control_group_counts(
    tmp_path: Path, files: dict[str, str], limits: Limits
) -> None:
    assert read_limits(a_root(tmp_path, files)) == limits


@pytest.mark.parametrize(
    ("physical", "allowed", "quota", "cores"),
    [
        (16, 32, None, 16),
        (16, 4, None, 4),
        (16, 32, 2.9, 2),
        (16, 3, 6.0, 3),
        (16, 32, 0.5, 1),
        (8, None, None, 8),
    ],
)
def test_threads_are_counted_by_what_may_run_at_once(
    physical: int, allowed: int | None, quota: float | None, cores: int
) -> None:
    assert decide_cores(physical, allowed=allowed, quota=quota) == cores


def test_a_container_limit_bounds_the_host(tmp_path: Path) -> None:
    group = v2("user.slice/app", memory_max=str(64 * MIB), memory_current=str(48 * MIB))
    root = a_root(tmp_path, {"proc/self/cgroup": V2, **group})

    host = probe_host(environment={}, root=root)

    assert (host.memory_total, host.memory_available) == (64 * MIB, 16 * MIB)
    assert host.sources["memory_total"] == "control group"


def test_without_limits_the_host_has_what_the_system_says(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen  9 9950X 16-Core Processor\n",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    }

    host = probe_host(environment={}, root=a_root(tmp_path, files))

    assert host.cpu == "AMD Ryzen 9 9950X 16-Core Processor"
    assert host.os_version == "Debian GNU/Linux 13 (trixie)"
    assert host.memory_total == psutil.virtual_memory().total
    assert 0 < host.memory_available <= host.memory_total
    assert not host.wsl


def test_a_board_without_names_has_none(tmp_path: Path) -> None:
    root = a_root(tmp_path, {"proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 108.00\n"})

    host = probe_host(environment={}, root=root)

    assert (host.cpu, host.os_version) == (None, None)
    assert set(host.sources) == {"cores", "memory_total", "memory_available"}


@pytest.mark.parametrize(
    ("kernel", "files", "environment", "wsl"),
    [
        ("6.6.87.2-microsoft-standard-WSL2", {"dev/dxg": ""}, {}, True),
        ("6.6.87.2-Microsoft-standard", {}, {"WSL_DISTRO_NAME": "Ubuntu"}, True),
        ("6.6.87.2-microsoft-standard-WSL2", {}, {}, False),
        ("6.12.0-amd64", {"dev/dxg": ""}, {"WSL_DISTRO_NAME": "Ubuntu"}, False),
    ],
)
def test_wsl_is_known_by_kernel_and_by_door_or_name(
    tmp_path: Path, kernel: str, files: dict[str, str], environment: dict[str, str], wsl: bool
) -> None:
    root = a_root(tmp_path, {"proc/sys/kernel/osrelease": kernel, **files})

    assert is_wsl(root, environment) == wsl


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("aarch64", "arm64"), ("arm64", "arm64"), ("AMD64", "x86_64"), ("x86_64", "x86_64")],
)
def test_an_architecture_has_one_name(machine: str, arch: str) -> None:
    assert normal_arch(machine) == arch
