"""What devices tell of the energy they use: real pynvml over a stand-in driver, and Linux's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localllm.events import DeviceId
from localllm.hardware.energy import (
    LONGEST_GAP_S,
    MOST_W,
    Counter,
    EnergyReading,
    Spent,
    Way,
    decide_spent,
)
from localllm.hardware.linux_energy import read_energy
from localllm.hardware.machine import CPU, Device, DeviceKind
from localllm.hardware.vitals import read_vitals
from tests.fakes import nvml_stand_in
from tests.unit.hardware.conftest import HIDING, ROOT

CARD = ("GPU-5090aaaa-0000-0000-0000-000000000001", "00000000:01:00.0")
RAPL = "sys/class/powercap/intel-rapl:"
PACKAGE = {
    f"{RAPL}0/name": "package-0",
    f"{RAPL}0/energy_uj": "5000000",
    f"{RAPL}0/max_energy_range_uj": "262143328850",
}
LOOKING = """
import json, sys
from pathlib import Path
from localllm.hardware.machine import Device, DeviceKind
from localllm.hardware.vitals import read_vitals
card = Device("cuda:0", DeviceKind.CUDA, "card", "NVML", uuid=sys.argv[1], pci_bus=sys.argv[2])
told = read_vitals([card], root=Path(sys.argv[3]), system="Linux").energy.get("cuda:0")
print(json.dumps(told and {
    "joules": {name: one.joules for name, one in told.counters.items()}, "power_w": told.power_w
}))
"""


def a_root(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


def counted(joules: float, wraps_at_j: float | None = None) -> EnergyReading:
    return EnergyReading({"card": Counter(joules, wraps_at_j)}, power_w=100.0)


def look_at_card(nvml: Path, root: Path, **more: Path) -> Any:
    clean = {name: value for name, value in os.environ.items() if name not in HIDING}
    set_here = {name: str(value) for name, value in more.items()}
    told = subprocess.check_output(
        [sys.executable, "-c", LOOKING, *CARD, str(root)],
        cwd=ROOT,
        env={**clean, **nvml_stand_in.environment(nvml, "rtx5090"), **set_here},
        text=True,
    )
    return json.loads(told)


def test_a_card_with_a_counter_tells_its_joules_and_one_without_what_it_draws(
    nvml: Path, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    counter.write_text("1234567")

    with_one = look_at_card(nvml, tmp_path, LOCALLLM_TEST_NVML_ENERGY=counter)
    without = look_at_card(nvml, tmp_path)

    assert with_one == {"joules": {"card": 1234.567}, "power_w": 420.5}
    assert without == {"joules": {}, "power_w": 420.5}


def test_a_card_that_sleeps_is_not_woken_to_tell(nvml: Path, tmp_path: Path) -> None:
    root = a_root(tmp_path, {"sys/bus/pci/devices/0000:01:00.0/power/runtime_status": "suspended"})
    log = tmp_path / "log"

    assert look_at_card(nvml, root, LOCALLLM_TEST_NVML_LOG=log) is None
    assert not log.exists()


@pytest.mark.parametrize(
    ("before", "now", "took_s", "spent"),
    [
        (counted(100), counted(350), 5.0, Spent(250, Way.COUNTED)),
        (counted(100), counted(100), 5.0, Spent(0, Way.COUNTED)),
        (counted(100), counted(350), 3600.0, Spent(250, Way.COUNTED)),
        (counted(900), counted(20), 5.0, None),  # its driver was loaded again
        (counted(900, 1000), counted(20, 1000), 5.0, Spent(120, Way.COUNTED)),
        (counted(100), counted(100 + 7 * MOST_W), 5.0, None),
        (counted(100), counted(160), 0.005, Spent(60, Way.COUNTED)),  # it counts in steps
        (EnergyReading({}, 100.0), EnergyReading({}, 200.0), 10.0, Spent(1500, Way.SAMPLED)),
        (EnergyReading({}, 100.0), EnergyReading({}, 200.0), LONGEST_GAP_S + 1, None),
        (EnergyReading({}, None), EnergyReading({}, 200.0), 10.0, None),
        (EnergyReading({}, 100.0), counted(100), 5.0, None),  # the counter is only just there
        (counted(100), EnergyReading({}, 100.0), 5.0, Spent(500, Way.SAMPLED)),
        (counted(100), counted(101), 0.0, None),
    ],
)
def test_what_was_used_in_between_is_the_rise_of_a_counter_or_what_was_drawn(
    before: EnergyReading, now: EnergyReading, took_s: float, spent: Spent | None
) -> None:
    assert decide_spent(before, now, took_s) == spent


@given(
    start=st.floats(0, 999),
    rises=st.lists(st.floats(0, 900), min_size=1, max_size=20),
)
def test_a_counter_that_wraps_loses_nothing(start: float, rises: list[float]) -> None:
    at, whole = start, 0.0
    for rise in rises:
        after = (at + rise) % 1000
        spent = decide_spent(counted(at, 1000), counted(after, 1000), 10.0)
        assert spent is not None
        at, whole = after, whole + spent.joules

    assert whole == pytest.approx(sum(rises), abs=1e-6)


def test_packages_and_their_memory_are_added_up_and_what_counts_them_again_is_not(
    tmp_path: Path,
) -> None:
    files = {
        **PACKAGE,
        f"{RAPL}0:0/name": "core",
        f"{RAPL}0:0/energy_uj": "3000000",
        f"{RAPL}0:1/name": "dram",
        f"{RAPL}0:1/energy_uj": "1000000",
        f"{RAPL}0:1/max_energy_range_uj": "65712999613",
        f"{RAPL}1/name": "psys",
        f"{RAPL}1/energy_uj": "9000000",
        "sys/class/powercap/intel-rapl-mmio:0/name": "package-0",
        "sys/class/powercap/intel-rapl-mmio:0/energy_uj": "5000000",
    }

    told = read_energy([], {}, a_root(tmp_path, files))

    assert told == {
        CPU: EnergyReading(
            {
                "intel-rapl:0": Counter(5.0, 262143.32885),
                "intel-rapl:0:1": Counter(1.0, 65712.999613),
            }
        )
    }


def test_counters_that_only_root_may_read_tell_nothing(tmp_path: Path) -> None:
    root = a_root(tmp_path, PACKAGE)
    (root / f"{RAPL}0/energy_uj").unlink()
    (root / f"{RAPL}0/energy_uj").mkdir()  # root, as tests may run as, can read everything else

    assert read_energy([], {}, root) == {}


def test_the_look_at_a_machine_has_the_processors_energy_in_it(tmp_path: Path) -> None:
    vitals = read_vitals([], root=a_root(tmp_path, PACKAGE), system="Linux")

    assert vitals.energy[CPU].counters["intel-rapl:0"].joules == 5.0


def a_card_of_amd(folder: Path, hwmon: Mapping[str, str], status: str = "active") -> Path:
    place = folder / "sys/bus/pci/devices/0000:03:00.0"
    a_root(
        folder,
        {
            "sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002",
            "sys/bus/pci/devices/0000:03:00.0/device": "0x744c",
            "sys/bus/pci/devices/0000:03:00.0/mem_info_vram_total": str(24 << 30),
            "sys/bus/pci/devices/0000:03:00.0/power/runtime_status": status,
            **{f"sys/bus/pci/devices/0000:03:00.0/hwmon/hwmon4/{k}": v for k, v in hwmon.items()},
        },
    )
    (folder / "sys/class/drm/card0").mkdir(parents=True)
    (folder / "sys/class/drm/card0/device").symlink_to(place)
    return folder


RADEON = Device(DeviceId("vulkan:0"), DeviceKind.VULKAN, "AMD Radeon RX 7900 XTX", "llama-server")


@pytest.mark.parametrize(
    ("hwmon", "told"),
    [
        ({"power1_average": "203000000"}, EnergyReading({}, 203.0)),
        ({"power1_input": "55000000"}, EnergyReading({}, 55.0)),
        ({"energy1_input": "7000000"}, EnergyReading({"card": Counter(7.0)})),
    ],
)
def test_a_card_of_amd_tells_through_its_monitor(
    tmp_path: Path, hwmon: Mapping[str, str], told: EnergyReading
) -> None:
    assert read_energy([RADEON], {}, a_card_of_amd(tmp_path, hwmon)) == {RADEON.id: told}


def test_a_processors_graphics_beside_it_of_another_maker_is_not_mistaken_for_it(
    tmp_path: Path,
) -> None:
    intel = Device(DeviceId("vulkan:1"), DeviceKind.VULKAN, "Intel(R) UHD Graphics 770", "it")
    root = a_card_of_amd(tmp_path, {"power1_average": "203000000"})

    told = read_energy([RADEON, intel], {}, root)

    assert told == {RADEON.id: EnergyReading({}, 203.0)}


@pytest.mark.parametrize(
    ("devices", "status"),
    [
        ([RADEON], "suspended"),
        ([RADEON, Device(DeviceId("vulkan:1"), DeviceKind.VULKAN, "AMD Radeon", "it")], "active"),
        ([Device(DeviceId("vulkan:0"), DeviceKind.VULKAN, "llvmpipe", "it")], "active"),
    ],
    ids=["asleep", "one of two", "software"],
)
def test_a_card_is_not_asked_where_it_sleeps_or_may_be_another(
    tmp_path: Path, devices: list[Device], status: str
) -> None:
    root = a_card_of_amd(tmp_path, {"power1_average": "203000000"}, status)

    assert read_energy(devices, {}, root) == {}
