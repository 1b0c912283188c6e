"""Apple's chips, from what sysctl prints on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.hardware.apple import (
    Mac,
    decide_wired_limit,
    metal_device,
    parse_mac,
    parse_metal,
    probe_mac,
)
from localllm.hardware.probe import probe_machine
from localllm.units import GIB, MIB

M1 = """\
hw.memsize: 8589934592
machdep.cpu.brand_string: Apple M1
hw.physicalcpu: 8
hw.perflevel0.physicalcpu: 4
iogpu.wired_limit_mb: 0
kern.osproductversion: 14.6.1
"""
M4_PRO = """\
hw.memsize: 51539607552
machdep.cpu.brand_string: Apple M4 Pro
hw.physicalcpu: 14
hw.perflevel0.physicalcpu: 10
iogpu.wired_limit_mb: 0
kern.osproductversion: 15.5
"""
M3_ULTRA = """\
hw.memsize: 274877906944
machdep.cpu.brand_string: Apple M3 Ultra
hw.physicalcpu: 32
hw.perflevel0.physicalcpu: 24
iogpu.wired_limit_mb: 245760
kern.osproductversion: 15.3.1
"""
# Names that this macOS lacks go to stderr: "sysctl: unknown oid 'iogpu.wired_limit_mb'".
INTEL = """\
hw.memsize: 17179869184
machdep.cpu.brand_string: Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz
hw.physicalcpu: 6
kern.osproductversion: 13.6.7
"""


@pytest.mark.parametrize(
    ("text", "mac"),
    [
        (M1, Mac("Apple M1", 8 * GIB, 8, 4, None, "14.6.1")),
        (M4_PRO, Mac("Apple M4 Pro", 48 * GIB, 14, 10, None, "15.5")),
        (M3_ULTRA, Mac("Apple M3 Ultra", 256 * GIB, 32, 24, 240 * GIB, "15.3.1")),
        (
            INTEL,
            Mac("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", 16 * GIB, 6, os_version="13.6.7"),
        ),
        ("", Mac()),
    ],
)
def test_what_sysctl_does_not_print_is_unknown(text: str, mac: Mac) -> None:
    assert parse_mac(text) == mac


def test_sysctl_is_read_even_though_it_fails_for_one_unknown_name(tmp_path: Path) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text(f"#!/bin/sh\ncat <<END\n{M3_ULTRA}END\necho unknown oid >&2\nexit 1\n")
    sysctl.chmod(0o755)

    assert probe_mac(str(sysctl)) == parse_mac(M3_ULTRA)


def test_a_mac_without_sysctl_is_unknown(tmp_path: Path) -> None:
    assert probe_mac(str(tmp_path / "sysctl")) == Mac()


@pytest.mark.parametrize(
    ("text", "metal", "limit", "source"),
    [
        (M3_ULTRA, "231928233984\n", 240 * GIB, "sysctl iogpu.wired_limit_mb"),
        (M4_PRO, "40200896512\n", 40200896512, "Metal's recommended working set"),
        (M4_PRO, "", 36 * GIB, "3/4 of memory"),
        (M4_PRO, "Traceback (most recent call last):\n", 36 * GIB, "3/4 of memory"),
        (M1, "", 8 * GIB * 2 // 3, "2/3 of memory"),
        (M1.replace("8589934592", str(16 * GIB)), "", int(10922.67 * MIB), "2/3 of memory"),
    ],
)
def test_the_gpu_may_hold_what_the_user_then_metal_then_experience_says(
    text: str, metal: str, limit: int, source: str
) -> None:
    decided = decide_wired_limit(parse_metal(parse_mac(text), metal))

    assert decided is not None
    assert decided[0] == pytest.approx(limit, rel=1e-6)
    assert decided[1].startswith(source)


def test_an_intel_mac_has_no_metal_device() -> None:
    assert metal_device(parse_mac(INTEL), memory_free=8 * GIB) is None


def test_a_mac_is_described_with_one_unified_device_before_the_processor() -> None:
    machine = probe_machine(system="Darwin", environment={}, ask_mac=lambda: parse_mac(M4_PRO))

    host, (gpu, cpu) = machine.host, machine.devices
    assert (host.os, host.os_version, host.cpu, host.cores) == ("darwin", "15.5", gpu.name, 10)
    assert (gpu.id, gpu.kind, gpu.name) == ("metal:0", "metal", "Apple M4 Pro")
    assert (gpu.unified, gpu.memory_total, gpu.bandwidth) == (True, 48 * GIB, 273_000_000_000)
    assert gpu.memory_free == cpu.memory_free == host.memory_available


@pytest.mark.parametrize(("cores", "gigabytes_per_s"), [(14, 300), (16, 400)])
def test_chips_of_one_name_are_told_apart_by_their_cores(cores: int, gigabytes_per_s: int) -> None:
    mac = Mac("Apple M3 Max", 36 * GIB, cores)

    machine = probe_machine(system="Darwin", environment={}, ask_mac=lambda: mac)

    assert machine.devices[0].bandwidth == gigabytes_per_s * 10**9


def test_the_source_says_which_limit_binds() -> None:
    small = M4_PRO.replace("wired_limit_mb: 0", "wired_limit_mb: 64")

    machine = probe_machine(system="Darwin", environment={}, ask_mac=lambda: parse_mac(small))

    gpu = machine.devices[0]
    assert gpu.memory_usable == 64 * MIB
    assert gpu.sources["memory_usable"] == "sysctl iogpu.wired_limit_mb"


@pytest.mark.parametrize(
    ("chip", "warning"),
    [
        ("", "sysctl does not name this Mac's chip"),
        ("VirtualApple @ 2.50GHz processor", "under Rosetta"),
    ],
)
def test_a_mac_whose_gpu_is_out_of_reach_says_why(
    monkeypatch: pytest.MonkeyPatch, chip: str, warning: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    machine = probe_machine(system="Darwin", environment={}, ask_mac=lambda: Mac(chip or None))

    assert [device.id for device in machine.devices] == ["cpu"]
    assert [warning in said for said in machine.warnings] == [True]
