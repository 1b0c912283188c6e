"""What bounds memory: shells, control groups, macOS, swap."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from localllm.api.status_views import PlacedView
from localllm.checkup.checks.memory import (
    check_limits,
    check_pressure,
    check_swap,
    check_wired,
    parse_limits,
)
from localllm.checkup.finding import Severity
from localllm.units import GIB, MIB
from tests.fakes.scene_parts import an_instance
from tests.unit.checkup.a_place import a_known, a_machine, a_place, a_status, bad, by_id, only

HOST = socket.gethostname()

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max locked memory         8388608              8388608              bytes
Max address space         unlimited            unlimited            bytes
Max open files            1024                 4096                 files
"""


def test_a_limited_address_space_is_a_problem(tmp_path: Path) -> None:
    found = only(check_limits(a_known(a_place(tmp_path, limits={"address space": 8 * GIB}))))

    assert (found.id, found.severity) == ("memory.address-space", Severity.PROBLEM)
    assert found.fix is not None
    assert found.fix.startswith("ulimit -v unlimited")


def test_the_daemons_limits_count_and_not_the_shells(tmp_path: Path) -> None:
    files = {"proc/4242/limits": LIMITS}
    place = a_place(tmp_path, files, limits={"address space": 1})

    found = only(check_limits(a_known(place, status=a_status())))

    assert found.id == "memory.open-files"
    assert "1024 files; 1024 connections would take 2560" in found.what
    assert found.fix == (
        "echo 'dev - nofile 65536' | sudo tee /etc/security/limits.d/localllm-nofile.conf"
    )


def test_the_shells_files_are_not_taken_for_the_daemons_where_nobody_tells_those(
    tmp_path: Path,
) -> None:
    """On macOS a shell has 256, and the daemon has raised its own."""
    place = a_place(tmp_path, system="darwin", limits={"open files": 256})

    assert bad(check_limits(a_known(place, status=a_status()))) == []


def test_limits_are_read_as_the_kernel_writes_them() -> None:
    assert parse_limits(LIMITS) == {
        "locked memory": 8 * MIB,
        "address space": None,
        "open files": 1024,
    }


def test_locked_memory_matters_to_who_locks_it(tmp_path: Path) -> None:
    plain, locked = an_instance("m"), an_instance("m", engine_args=["--mlock"])
    place = a_place(tmp_path, limits={"locked memory": 8 * MIB})

    assert bad(check_limits(a_known(place, status=a_status(plain)))) == []
    assert bad(check_limits(a_known(place, status=a_status(locked)))) == ["memory.locked"]


def group(limit: int | str, used: int = 0) -> dict[str, str]:
    return {
        "proc/self/cgroup": "0::/box\n",
        "proc/meminfo": "MemTotal: 67108864 kB\nSwapTotal: 0 kB\n",
        "sys/fs/cgroup/box/memory.max": f"{limit}\n",
        "sys/fs/cgroup/box/memory.current": f"{used}\n",
        "sys/fs/cgroup/box/memory.stat": "inactive_file 0\n",
    }


def test_a_control_group_that_bounds_plans_is_noted(tmp_path: Path) -> None:
    known = a_known(a_place(tmp_path, group(16 * GIB)))

    found = by_id(check_pressure(known))["memory.group"]

    assert found.severity is Severity.NOTE
    assert "allows 16.0 GiB of this computer's 64.0 GiB" in found.what


@pytest.mark.parametrize(
    ("more", "fix"),
    [
        ({}, "systemctl --user set-property localllm.service MemoryMax=22G"),
        ({".dockerenv": ""}, f"docker update --memory 22g --memory-swap 22g {HOST}"),
        ({"run/systemd/container": "lxc\n"}, None),
    ],
)
def test_a_control_group_below_what_is_served_is_a_problem(
    tmp_path: Path, more: dict[str, str], fix: str | None
) -> None:
    on_host = PlacedView(
        device="cpu", name="processor", layers=1, predicted=20 * GIB, measured=None
    )
    model = msgspec.structs.replace(an_instance("m"), placement=[on_host])
    place = a_place(tmp_path, {**group(16 * GIB), **more})

    found = by_id(check_pressure(a_known(place, status=a_status(model))))["memory.group"]

    assert (found.severity, found.fix) == (Severity.PROBLEM, fix)


@pytest.mark.parametrize("limit", ["max", 64 * GIB])
def test_a_control_group_that_bounds_nothing_is_in_order(tmp_path: Path, limit: int | str) -> None:
    found = by_id(check_pressure(a_known(a_place(tmp_path, group(limit)))))

    assert found["memory.group"].severity is Severity.OK


def test_memory_that_runs_out_is_a_problem(tmp_path: Path) -> None:
    nearly_all = group(16 * GIB, used=16 * GIB - 100 * MIB)

    found = by_id(check_pressure(a_known(a_place(tmp_path, nearly_all))))["memory.short"]

    assert found.severity is Severity.PROBLEM


def test_an_engine_that_is_swapped_out_is_named(tmp_path: Path) -> None:
    model = an_instance("m", pid=77)
    files = {"proc/77/status": "Name:\tx\nVmSwap:\t  2097152 kB\n", "proc/swaps": "/dev/zram0\n"}

    found = only(check_swap(a_known(a_place(tmp_path, files), status=a_status(model))))

    assert found.what == "2.0 GiB of m's engine is swapped out."
    assert "zram" in (found.why or "")
    assert found.fix == "localllm stop m && localllm up m"


def test_a_little_swap_is_none(tmp_path: Path) -> None:
    model = an_instance("m", pid=77)
    files = {"proc/77/status": "VmSwap:\t  1024 kB\n"}

    assert bad(check_swap(a_known(a_place(tmp_path, files), status=a_status(model)))) == []


@pytest.mark.parametrize(
    ("total_gib", "wired_gib", "id_"),
    [
        (64, 62, "memory.wired-high"),
        (64, 30, "memory.wired-low"),
        (64, 48, None),
        (8, 5.33, None),  # as macOS has it
        (8, 7, "memory.wired-high"),
    ],
)
def test_a_macs_wired_limit_is_neither_too_low_nor_too_high(
    tmp_path: Path, total_gib: int, wired_gib: float, id_: str | None
) -> None:
    machine = a_machine("m4-max-64")
    gpu, *others = machine.devices
    gpu = replace(gpu, memory_total=total_gib * GIB, wired_limit=int(wired_gib * GIB))
    machine = replace(machine, devices=(gpu, *others))
    known = a_known(a_place(tmp_path, system="darwin"), machine=machine)

    assert bad(check_wired(known)) == ([] if id_ is None else [id_])
