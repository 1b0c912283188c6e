"""The whole machine, and what a plan may spend of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from localllm.hardware.probe import (
    decide_usable_by_metal,
    decide_usable_on_card,
    decide_usable_on_host,
)
from localllm.units import GIB
from tests.unit.hardware.conftest import ROOT, Probe


@pytest.mark.parametrize(
    ("free", "total", "reserve", "usable"),
    [
        (24 * GIB, 24 * GIB, 1 * GIB, 23 * GIB),
        (20 * GIB, 24 * GIB, 1 * GIB, 20 * GIB),  # the desktop and others hold more already
        (1 * GIB, 1 * GIB, 2 * GIB, 0),
        (24 * GIB, 24 * GIB, 0, 24 * GIB),
        (None, 24 * GIB, 1 * GIB, None),
        (24 * GIB, None, 1 * GIB, None),
    ],
)
def test_a_card_keeps_its_reserve_whether_the_desktop_holds_it_now_or_not(
    free: int | None, total: int | None, reserve: int, usable: int | None
) -> None:
    assert decide_usable_on_card(free, total, reserve=reserve) == usable


@pytest.mark.parametrize(
    ("available", "total", "usable"),
    [
        (16 * GIB, 16 * GIB, 15 * GIB),
        (100 * GIB, 200 * GIB, 90 * GIB),
        (1 * GIB, 16 * GIB, GIB // 2),
        (0, 16 * GIB, 0),
    ],
)
def test_the_host_keeps_a_reserve_but_never_half_of_what_is_left(
    available: int, total: int, usable: int
) -> None:
    assert decide_usable_on_host(available, total) == usable


@pytest.mark.parametrize(
    ("wired", "available", "usable"),
    [
        (36 * GIB, 48 * GIB, 36 * GIB),  # 48 GB, idle: the limit binds
        (36 * GIB, 20 * GIB, 20 * GIB - 48 * GIB // 20),  # busy: what is available binds
    ],
)
def test_metal_gets_its_limit_as_far_as_the_system_can_spare_it(
    wired: int, available: int, usable: int
) -> None:
    assert decide_usable_by_metal(wired, available=available, total=48 * GIB) == usable


def test_the_processor_comes_last_and_needs_no_bandwidth(probe_in: Probe) -> None:
    machine = probe_in("rtx4090")

    host, cpu = machine["host"], machine["devices"][-1]
    assert (cpu["id"], cpu["kind"], cpu["unified"], cpu["bandwidth"]) == ("cpu", "cpu", False, None)
    assert (cpu["memory_total"], cpu["memory_free"]) == (
        host["memory_total"],
        host["memory_available"],
    )
    assert 0 < cpu["memory_usable"] < cpu["memory_free"]
    assert machine["warnings"] == []


def test_every_known_fact_has_a_source_and_no_other_has(probe_in: Probe) -> None:
    for device in probe_in("halfway")["devices"]:
        described = {"id", "kind", "name", "source", "unified", "sources"}
        behind_usable = {"memory_reserve", "wired_limit"}
        known = {fact for fact in device if device[fact] is not None}
        assert set(device["sources"]) == known - described - behind_usable


def test_under_wsl_windows_desktop_gets_its_share_too(probe_in: Probe, tmp_path: Path) -> None:
    kernel = tmp_path / "proc/sys/kernel/osrelease"
    kernel.parent.mkdir(parents=True)
    kernel.write_text("6.6.87.2-microsoft-standard-WSL2\n")

    machine = probe_in("wsl", root=tmp_path, WSL_DISTRO_NAME="Ubuntu")

    card = machine["devices"][0]
    assert machine["host"]["wsl"]
    assert card["memory_usable"] == card["memory_total"] - 2 * GIB
    assert card["sources"]["memory_usable"] == "NVML, 2.0 GiB left to the desktop"


def test_a_machine_without_cards_is_a_processor_and_no_complaint(probe_in: Probe) -> None:
    machine = probe_in("empty")

    assert [device["id"] for device in machine["devices"]] == ["cpu"]
    assert machine["warnings"] == []


def test_importing_the_probe_loads_no_driver() -> None:
    code = "import sys, localllm.hardware.probe; print(*sys.modules)"

    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).split()

    assert "localllm.hardware.probe" in loaded
    assert "pynvml" not in loaded


def test_what_is_left_to_others_is_told_also_of_memory_that_is_taken(probe_in: Probe) -> None:
    machine = probe_in("rtx5090")

    card, cpu = machine["devices"]
    assert card["memory_reserve"] == GIB
    assert cpu["memory_reserve"] == max(GIB, cpu["memory_total"] // 20)
    assert (card["wired_limit"], cpu["wired_limit"]) == (None, None)
