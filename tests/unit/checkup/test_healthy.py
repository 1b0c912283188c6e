"""Computers with which nothing is wrong: a doctor that cries wolf is not read again."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.checkup.all_checks import all_checks
from localllm.checkup.checks import disk
from localllm.checkup.examining import examine
from localllm.checkup.finding import Severity
from localllm.checkup.known import Program
from localllm.checkup.place import Place
from localllm.hardware.machine import Machine
from localllm.units import GIB
from tests.unit.checkup.a_place import FEDORA, UBUNTU, a_known, a_machine, a_place
from tests.unit.checkup.test_driver import CARD, LOADED, library
from tests.unit.hardware.test_graphics import AMD, INTEL, a_card

PC = {
    "proc/meminfo": "MemTotal: 65536000 kB\nMemAvailable: 60000000 kB\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "amd-pstate-epp\n",
    "sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference": "balance_performance\n",
}
WSL = {
    "proc/sys/kernel/osrelease": "6.6.87.2-microsoft-standard-WSL2\n",
    "proc/meminfo": "MemTotal: 32768000 kB\nMemAvailable: 30000000 kB\n",
    "dev/dxg": "",
    "usr/lib/wsl/lib/libcuda.so.1": "",
}
GNOME = {"sleep-inactive-ac-type": "'suspend'", "sleep-inactive-ac-timeout": "0"}
"""As Ubuntu has it: after no time at all, which is never."""

DESKTOP = [
    Program(1, "systemd", "/sbin/init splash", 10 << 20),
    Program(2, "gnome-shell", "/usr/bin/gnome-shell", GIB),
    Program(3, "code", "/usr/share/code/code --unity-launch /home/dev/src/llama-server", GIB),
    Program(4, "python3", "python3 /home/dev/notes.py /home/dev/ollama/x", GIB),
]


def a_desktop(folder: Path) -> tuple[Place, Machine]:
    place = a_place(folder, {**PC, **CARD, **LOADED, "etc/os-release": UBUNTU, "dev/nvidiactl": ""})
    library(place, "570.86.16")
    told = {"XDG_CURRENT_DESKTOP": "ubuntu:GNOME", "LANG": "en_US.UTF-8"}
    place = replace(place, ask=lambda words: GNOME.get(words[-1]))
    return in_(place, told), a_machine("rtx5090")


def a_server(folder: Path) -> tuple[Place, Machine]:
    """Arch, with nothing but the processor's own graphics, and no Vulkan for them."""
    place = a_place(folder, {**PC, "etc/os-release": "ID=arch\n"})
    a_card(place.root, 0, INTEL, "0x4680")
    return place, a_machine("cpu-16")


def a_macbook(folder: Path) -> tuple[Place, Machine]:
    said = " sleep                1 (sleep prevented by powerd)\n"
    place = a_place(folder, system="darwin", ask=lambda words: said if "-g" in words else None)
    (place.root / "etc/os-release").unlink()
    return in_(place, {"LC_CTYPE": "UTF-8"}), a_machine("m4-max-128")


def a_windows_pc(folder: Path) -> tuple[Place, Machine]:
    return in_(a_place(folder, WSL), {"WSL_DISTRO_NAME": "Ubuntu"}), a_machine("rtx5090")


def a_container(folder: Path) -> tuple[Place, Machine]:
    """On a desktop with AMD's and NVIDIA's cards, neither of which is for it."""
    files = {**PC, **CARD, "etc/os-release": FEDORA, ".dockerenv": "", "proc/1/comm": "bash\n"}
    place = a_place(folder, files)
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)
    return place, a_machine("cpu-16")


def in_(place: Place, environment: Mapping[str, str]) -> Place:
    return replace(place, environment={**place.environment, **environment})


@pytest.mark.parametrize("make", [a_desktop, a_server, a_macbook, a_windows_pc, a_container])
def test_nothing_is_wrong_with_a_computer_with_which_nothing_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], tuple[Place, Machine]]
) -> None:
    monkeypatch.setattr(disk, "_room", lambda _: disk._Room(100 * GIB, 1000 * GIB))
    place, machine = make(tmp_path)
    own = place.paths.state.stat().st_uid or 0
    place = replace(in_(place, {}), offline=True, user_id=own)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        place.paths.config_file.write_text(f"port = {one.getsockname()[1]}\n")

    found = examine(all_checks(place), a_known(place, machine=machine, programs=DESKTOP)).findings

    assert [one for one in found if one.severity in {Severity.WARNING, Severity.PROBLEM}] == []
