"""A look at how the machine does: real pynvml over a stand-in driver, and files as Linux has them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from localllm.events import DeviceId
from localllm.hardware.linux_vitals import HostMemory, parse_stalled
from localllm.hardware.machine import Device, DeviceKind
from localllm.hardware.nvidia_vitals import decide_slowed
from localllm.hardware.vitals import (
    PRESSURE_COMMAND,
    SPEED_COMMAND,
    THERMAL_COMMAND,
    Pressure,
    decide_pressure,
    decide_throttled,
    parse_pressure_level,
    parse_speed_limit,
    parse_thermal_level,
    read_vitals,
)
from localllm.hardware.worked import Worked, decide_utilization
from localllm.units import GIB, MIB
from tests.fakes import nvml_stand_in
from tests.unit.hardware.conftest import HIDING, ROOT

FIRST = ("GPU-5090aaaa-0000-0000-0000-000000000001", "00000000:01:00.0")
SECOND = ("GPU-5090bbbb-0000-0000-0000-000000000002", "00000000:41:00.0")
GB10 = ("GPU-0010aaaa-0000-0000-0000-000000000006", "0000000F:01:00.0")
UNTOLD = {
    "lost": None,
    "memory_free": None,
    "throttled": None,
    "temperature_c": None,
    "power_w": None,
    "utilization": None,
    "energy_j": None,
}
HEALTHY = {
    "lost": None,
    "memory_free": 31900 * MIB,
    "throttled": None,
    "temperature_c": 45,
    "power_w": 420.5,
    "utilization": 0.97,
    "energy_j": None,
}

# Looks once for every line that it is told, as the daemon does again and again.
LOOKING = """
import json, msgspec, sys
from pathlib import Path
from localllm.hardware.machine import Device, DeviceKind
from localllm.hardware.vitals import read_vitals
devices = [
    Device(f"cuda:{n}", DeviceKind.CUDA, "card", "NVML", uuid=uuid, pci_bus=bus)
    for n, (uuid, bus) in enumerate(json.loads(sys.argv[1]))
]
for line in sys.stdin:
    vitals = read_vitals(devices, root=Path(sys.argv[2]), system="Linux")
    print(msgspec.json.encode(vitals.devices).decode(), flush=True)
"""
Cards = list[dict[str, Any]]
Look = Callable[[], Cards]
Watch = Callable[..., Look]


@pytest.fixture
def watch(nvml: Path, tmp_path: Path) -> Iterator[Watch]:
    """Watch cards on a stand-in machine from one process: every call of the answer is a look."""
    with contextlib.ExitStack() as stack:

        def start(
            machine: str, *cards: tuple[str, str | None], library: Path = nvml, **more: Path
        ) -> Look:
            clean = {name: value for name, value in os.environ.items() if name not in HIDING}
            set_here = {name: str(value) for name, value in more.items()}
            child = subprocess.Popen(
                [sys.executable, "-c", LOOKING, json.dumps(cards), str(tmp_path)],
                cwd=ROOT,
                env={**clean, **nvml_stand_in.environment(library, machine), **set_here},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert child.stdin
            assert child.stdout
            stack.enter_context(child)
            talk, answers = child.stdin, child.stdout

            def look() -> Cards:
                print(file=talk, flush=True)
                return list(json.loads(answers.readline()).values())

            return look

        yield start


def a_root(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_healthy_card_tells_its_memory_and_temperature_and_its_power_limit_is_no_news(
    watch: Watch,
) -> None:
    assert watch("rtx5090", FIRST)() == [HEALTHY]


def test_a_card_that_is_taken_away_is_lost_and_one_that_comes_back_is_not(
    watch: Watch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    look = watch("rtx5090", FIRST, LOCALLLM_TEST_NVML_LOST=gone)

    before = look()
    gone.touch()
    lost = look()
    gone.unlink()

    assert before == look() == [HEALTHY]
    assert lost == [{**UNTOLD, "lost": "the card is lost: it fell off the bus or hangs"}]


def test_a_healthy_card_is_not_given_up_for_its_lost_neighbour(watch: Watch) -> None:
    healthy, lost = watch("halfway", FIRST, SECOND)()

    assert healthy == HEALTHY
    assert lost["lost"].startswith("the card is lost")


def test_a_card_that_is_lost_between_two_questions_is_lost(watch: Watch) -> None:
    assert [card["lost"] is not None for card in watch("vanishes", FIRST)()] == [True]


def test_a_hot_card_is_slowed_down_until_it_is_cool(watch: Watch, tmp_path: Path) -> None:
    hot = tmp_path / "hot"
    look = watch("rtx5090", FIRST, LOCALLLM_TEST_NVML_HOT=hot)

    hot.touch()
    slowed = look()
    hot.unlink()

    assert slowed == [
        {**HEALTHY, "throttled": "91 °C: slowed down to cool", "temperature_c": 91},
    ]
    assert look() == [HEALTHY]


def test_an_old_driver_tells_the_same_under_its_old_names(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "hot").touch()

    card = watch("older", FIRST, LOCALLLM_TEST_NVML_HOT=tmp_path / "hot")()[0]

    assert card["throttled"] == "91 °C: slowed down to cool"


def test_a_fact_that_the_driver_does_not_support_is_unknown_and_no_loss(watch: Watch) -> None:
    assert watch("gb10", GB10)() == [{**HEALTHY, "memory_free": None, "utilization": None}]


@pytest.mark.parametrize(
    ("machine", "card", "why"),
    [
        ("rtx5090", SECOND, "the driver does not list the card any more"),
        ("empty", FIRST, "the driver does not list the card any more"),
        ("broken", FIRST, "the NVIDIA driver is not loaded any more"),
        ("unreachable", FIRST, "the driver cannot reach the card (Unknown Error)"),
    ],
)
def test_a_card_that_its_driver_does_not_find_any_more_is_lost(
    watch: Watch, machine: str, card: tuple[str, str], why: str
) -> None:
    assert watch(machine, card)() == [{**UNTOLD, "lost": why}]


def test_a_card_is_lost_with_the_library_that_told_of_it(watch: Watch, tmp_path: Path) -> None:
    a_root(tmp_path, {"lib/libnvidia-ml.so.1": "not a library"})

    look = watch("rtx5090", FIRST, library=tmp_path / "lib")

    assert look() == [{**UNTOLD, "lost": "libnvidia-ml.so.1 is not there any more"}]


def test_a_container_that_lost_its_rights_knows_nothing_of_cards_that_still_compute(
    watch: Watch,
) -> None:
    assert watch("refused", FIRST)() == [UNTOLD]


def test_a_card_without_a_bus_is_found_by_its_name(watch: Watch) -> None:
    assert watch("two5090", (SECOND[0], None))()[0]["memory_free"] == 32100 * MIB


def test_every_look_leaves_the_driver_closed(watch: Watch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    look = watch("halfway", FIRST, SECOND, LOCALLLM_TEST_NVML_LOG=log)

    look()
    look()

    assert log.read_text().split() == ["init", "shutdown"] * 2


def test_a_card_that_sleeps_is_not_woken_to_be_asked(watch: Watch, tmp_path: Path) -> None:
    log = tmp_path / "log"
    status = "sys/bus/pci/devices/0000:01:00.0/power/runtime_status"
    look = watch("rtx5090", FIRST, LOCALLLM_TEST_NVML_LOG=log)

    a_root(tmp_path, {status: "suspended\n"})
    asleep = look()
    opened = log.exists()
    a_root(tmp_path, {status: "active\n"})

    assert (asleep, opened) == ([UNTOLD], False)
    assert look() == [HEALTHY]


def test_a_bus_of_another_domain_is_found_where_linux_names_it(
    watch: Watch, tmp_path: Path
) -> None:
    a_root(tmp_path, {"sys/bus/pci/devices/000f:01:00.0/power/runtime_status": "suspended\n"})

    assert watch("gb10", GB10)() == [UNTOLD]


@pytest.mark.parametrize(
    ("reasons", "temperature_c", "slowed"),
    [
        (None, 91, None),
        (0x0, 91, None),
        (0x1 | 0x2 | 0x4 | 0x10 | 0x100, 45, None),  # idle, set clocks, power cap, sync, display
        (0x8, 45, None),  # hardware slowed it, and does not say why
        (0x20, 84, "84 °C: slowed down to cool"),
        (0x8 | 0x40, 91, "91 °C: slowed down to cool"),
        (0x40, None, "slowed down to cool"),
        (0x8 | 0x80, 45, "slowed down because the power supply demands it"),
    ],
)
def test_only_heat_and_the_power_brake_are_worth_words(
    reasons: int | None, temperature_c: int | None, slowed: str | None
) -> None:
    assert decide_slowed(reasons, temperature_c) == slowed


HOST = 64 * GIB


@pytest.mark.parametrize(
    ("memory", "pressure", "why"),
    [
        (HostMemory(HOST, 8 * GIB), Pressure.NONE, None),
        (HostMemory(HOST, 3 * GIB), Pressure.WARN, "3.0 GiB of 64.0 GiB of memory is available"),
        (HostMemory(HOST, GIB), Pressure.CRITICAL, "1.0 GiB of 64.0 GiB of memory is available"),
        (HostMemory(4 * GIB, 513 * MIB), Pressure.NONE, None),
        (
            HostMemory(4 * GIB, 500 * MIB),
            Pressure.WARN,
            "500 MiB of 4.0 GiB of memory is available",
        ),
        (
            HostMemory(4 * GIB, 255 * MIB),
            Pressure.CRITICAL,
            "255 MiB of 4.0 GiB of memory is available",
        ),
        (HostMemory(HOST, 32 * GIB, stalled_percent=10.0), Pressure.NONE, None),
        (
            HostMemory(HOST, 32 * GIB, stalled_percent=10.5),
            Pressure.WARN,
            "all programs waited for memory 10.5 % of the last 10 s",
        ),
        (
            HostMemory(HOST, GIB, stalled_percent=43.17),
            Pressure.CRITICAL,
            "1.0 GiB of 64.0 GiB of memory is available and all programs waited for memory "
            "43.17 % of the last 10 s",
        ),
        (  # what is only a warning does not belong to the reasons of what is critical
            HostMemory(HOST, 3 * GIB, stalled_percent=41.0),
            Pressure.CRITICAL,
            "all programs waited for memory 41.0 % of the last 10 s",
        ),
        (  # where the kernel does not tell who waits, spent swap tells
            HostMemory(HOST, 5 * GIB, swap_total=8 * GIB, swap_free=100 * MIB),
            Pressure.WARN,
            "5.0 GiB of 64.0 GiB of memory is available and 100 MiB of 8.0 GiB of swap",
        ),
        (HostMemory(HOST, 32 * GIB, swap_total=8 * GIB, swap_free=0), Pressure.NONE, None),
        (HostMemory(HOST, 5 * GIB, swap_total=8 * GIB, swap_free=6 * GIB), Pressure.NONE, None),
        (HostMemory(HOST, 5 * GIB), Pressure.NONE, None),
    ],
)
def test_pressure_is_judged_by_what_is_left_and_who_waits(
    memory: HostMemory, pressure: Pressure, why: str | None
) -> None:
    assert decide_pressure(memory) == (pressure, why)


@pytest.mark.parametrize(
    ("text", "stalled"),
    [
        (
            "some avg10=51.20 avg60=20.11 avg300=5.02 total=93283746\n"
            "full avg10=43.17 avg60=17.31 avg300=4.18 total=78341872\n",
            43.17,
        ),
        ("some avg10=51.20 avg60=20.11 avg300=5.02 total=93283746\n", None),
        ("", None),
    ],
)
def test_waiting_is_what_the_kernel_says_of_all_programs(text: str, stalled: float | None) -> None:
    assert parse_stalled(text) == stalled


def test_the_control_group_bounds_memory_and_its_waiting_counts(tmp_path: Path) -> None:
    root = a_root(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app.slice/ours\n",
            "proc/pressure/memory": "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            "sys/fs/cgroup/app.slice/memory.max": str(512 * MIB),
            "sys/fs/cgroup/app.slice/memory.current": str(448 * MIB),
            "sys/fs/cgroup/app.slice/ours/memory.pressure": "full avg10=77.50 avg60=0.00 total=1\n",
        },
    )

    vitals = read_vitals([], root=root, system="Linux")

    assert (vitals.memory_available, vitals.pressure) == (64 * MIB, Pressure.CRITICAL)
    assert vitals.pressure_why == (
        "64 MiB of 512 MiB of memory is available and all programs waited for memory "
        "77.5 % of the last 10 s"
    )


V2 = "low 0\nhigh 12\nmax 3\noom 4\noom_kill {}\noom_group_kill 0\n"


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({}, None),
        ({"proc/vmstat": "nr_free_pages 123\noom_kill 7\nzswpin 0\n"}, 7),
        (
            {
                "proc/self/cgroup": "0::/app.slice/ours\n",
                "proc/vmstat": "oom_kill 7\n",
                "sys/fs/cgroup/app.slice/memory.events": V2.format(5),
                "sys/fs/cgroup/app.slice/ours/memory.events": V2.format(2),
            },
            2,
        ),
        (  # memory is not counted in the innermost group
            {
                "proc/self/cgroup": "0::/app.slice/ours\n",
                "sys/fs/cgroup/app.slice/ours/cgroup.procs": "1\n",
                "sys/fs/cgroup/app.slice/memory.events": V2.format(5),
            },
            5,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/docker/abc\n",
                "proc/vmstat": "oom_kill 7\n",
                "sys/fs/cgroup/memory/memory.oom_control": (
                    "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"
                ),
            },
            1,
        ),
    ],
)
def test_kills_for_memory_are_counted_as_near_to_us_as_the_kernel_counts(
    tmp_path: Path, files: dict[str, str], kills: int | None
) -> None:
    assert read_vitals([], root=a_root(tmp_path, files), system="Linux").oom_kills == kills


@pytest.mark.parametrize(
    ("before", "now", "throttled"),
    [
        (None, 4, None),
        (4, None, None),
        (4, 4, None),
        (4, 1, None),  # the processor that had the largest count was taken away
        (4, 7, "slowed down to cool, 3x since the last look"),
    ],
)
def test_a_processor_was_slowed_down_if_its_count_grew(
    before: int | None, now: int | None, throttled: str | None
) -> None:
    assert decide_throttled(before, now) == throttled


def test_the_first_look_sees_no_throttling_and_the_next_sees_what_came_after(
    tmp_path: Path,
) -> None:
    def heat(*counts: int) -> Path:
        name = "sys/devices/system/cpu/cpu{}/thermal_throttle/package_throttle_count"
        return a_root(tmp_path, {name.format(n): f"{count}\n" for n, count in enumerate(counts)})

    first = read_vitals([], root=heat(40, 41), system="Linux")
    same = read_vitals([], root=heat(40, 41), system="Linux", before=first)
    grown = read_vitals([], root=heat(40, 43), system="Linux", before=same)

    assert (first.throttled, same.throttled) == (None, None)
    assert grown.throttled == "slowed down to cool, 2x since the last look"


@pytest.mark.parametrize(
    ("before", "now", "utilization"),
    [
        (None, Worked(5.0, 10.0), None),
        (Worked(5.0, 10.0), Worked(5.0, 10.05), None),  # too soon to tell
        (Worked(5.0, 10.0), Worked(7.0, 18.0), 0.25),
        (Worked(5.0, 10.0), Worked(4.9, 18.0), 0.0),  # the kernel takes waiting back at times
    ],
)
def test_how_busy_processors_are_is_what_they_did_since_the_look_before(
    before: Worked | None, now: Worked, utilization: float | None
) -> None:
    assert decide_utilization(before, now) == utilization


def test_the_first_look_cannot_tell_how_busy_it_is_and_a_later_one_can() -> None:
    first = read_vitals([])
    idle = Worked(0.0, 0.0)
    later = read_vitals([], before=replace(first, worked=idle))

    assert first.utilization is None
    assert later.utilization is not None
    assert 0 < later.utilization < 1


def test_a_processor_that_does_not_count_is_not_known_to_be_slowed_down(tmp_path: Path) -> None:
    before = read_vitals([], root=tmp_path, system="Linux")

    assert read_vitals([], root=tmp_path, system="Linux", before=before).throttled is None


def test_this_machine_can_be_looked_at() -> None:
    cpu = Device(DeviceId("cpu"), DeviceKind.CPU, "processor", "psutil")

    vitals = read_vitals([cpu], before=read_vitals([cpu]))

    assert 0 < vitals.memory_available <= psutil.virtual_memory().total
    assert vitals.devices == {}


# What people's Macs printed.
APPLE_THERM = """\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
Note: No CPU power status has been recorded
"""  # M1 Pro, macOS 12.1: github.com/exelban/stats/issues/749
INTEL_THERM = """\
Note: No thermal warning level has been recorded
Note: No performance warning level has been recorded
2020-11-24 13:10:40 +0100 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 35
"""  # MacBook Pro of 2011, macOS 10.13.6: apple.stackexchange.com/questions/407192
INTEL_WELL = """\
2020-06-26 12:30:37 +0200 CPU Power notify
\tCPU_Scheduler_Limit \t= 100
\tCPU_Available_CPUs \t= 8
\tCPU_Speed_Limit \t= 100
"""  # github.com/yujitach/MenuMeters/issues/158


@pytest.mark.parametrize(
    ("text", "throttled"),
    [
        (APPLE_THERM, None),
        (INTEL_WELL, None),
        (INTEL_THERM, "slowed down to 35 % of its speed"),
        ("CPU_Speed_Limit = soon\n", None),
        ("", None),
    ],
)
def test_an_intel_mac_tells_its_speed_limit(text: str, throttled: str | None) -> None:
    assert parse_speed_limit(text) == throttled


@pytest.mark.parametrize(
    ("level", "throttled"),
    [
        ("0", None),
        ("1", None),
        ("2", "slowed down to cool (thermal pressure: heavy)"),
        ("3", "slowed down to cool (thermal pressure: trapping)"),
        ("4", "slowed down to cool (thermal pressure: sleeping)"),
        ("9", None),
    ],
)
def test_an_apple_chip_tells_its_thermal_pressure(level: str, throttled: str | None) -> None:
    printed = f"com.apple.system.thermalpressurelevel {level}\n"

    assert parse_thermal_level(printed) == throttled


@pytest.mark.parametrize(
    "text", ["", "com.apple.system.thermalpressurelevel: Failed with code 2\n"]
)
def test_a_mac_that_does_not_tell_its_thermal_pressure_is_not_known_to_be_slowed_down(
    text: str,
) -> None:
    assert parse_thermal_level(text) is None


@pytest.mark.parametrize(
    ("text", "pressure"),
    [
        ("kern.memorystatus_vm_pressure_level: 1\n", Pressure.NONE),
        ("kern.memorystatus_vm_pressure_level: 2\n", Pressure.WARN),
        ("kern.memorystatus_vm_pressure_level: 4\n", Pressure.CRITICAL),
        ("", Pressure.NONE),
    ],
)
def test_macos_tells_its_own_pressure(text: str, pressure: Pressure) -> None:
    assert parse_pressure_level(text) is pressure


@pytest.mark.parametrize(
    ("kind", "asked"), [(DeviceKind.METAL, THERMAL_COMMAND), (DeviceKind.CPU, SPEED_COMMAND)]
)
def test_a_mac_is_asked_twice_and_only_what_its_chip_can_tell(
    kind: DeviceKind, asked: tuple[str, ...]
) -> None:
    commands: list[Sequence[str]] = []

    def ask(command: Sequence[str]) -> str:
        commands.append(command)
        return ""

    read_vitals([Device(DeviceId("x"), kind, "x", "x")], system="Darwin", ask=ask)

    assert commands == [PRESSURE_COMMAND, asked]


def test_a_hot_and_crowded_mac_says_so_of_its_processor_and_its_gpu() -> None:
    answers = {
        PRESSURE_COMMAND: "kern.memorystatus_vm_pressure_level: 4\n",
        THERMAL_COMMAND: "com.apple.system.thermalpressurelevel 2\n",
    }
    gpu = Device(DeviceId("metal:0"), DeviceKind.METAL, "Apple M4 Pro", "sysctl")

    vitals = read_vitals([gpu], system="Darwin", ask=lambda command: answers[tuple(command)])

    metal = vitals.devices[gpu.id]
    assert vitals.pressure is Pressure.CRITICAL
    assert (vitals.pressure_why or "").startswith("macOS says critical: ")
    assert vitals.throttled == "slowed down to cool (thermal pressure: heavy)" == metal.throttled
    assert (metal.lost, metal.memory_free) == (None, vitals.memory_available)


def test_a_look_at_a_mac_survives_without_its_programs() -> None:
    vitals = read_vitals([], system="Darwin")

    assert (vitals.pressure, vitals.throttled, vitals.oom_kills) == (Pressure.NONE, None, None)
