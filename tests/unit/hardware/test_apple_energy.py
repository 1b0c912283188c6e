"""Apple's counters: real ctypes over a stand-in library, since the real one is on Macs alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localllm.hardware.apple_energy import AppleEnergy, readings_of
from localllm.hardware.energy import Counter, EnergyReading
from localllm.hardware.machine import CPU
from tests.unit.hardware.conftest import ROOT

SOURCE = Path(__file__).parents[2] / "fakes" / "ioreport" / "stand_in.c"
READING = """
import json, sys
from localllm.hardware.apple_energy import AppleEnergy
chip = AppleEnergy(sys.argv[1], sys.argv[1])
for _ in range(int(sys.argv[2])):
    told = chip.read()
print(json.dumps({
    device: sum(counter.joules for counter in reading.counters.values())
    for device, reading in told.items()
}))
"""
M_MAX = (
    "PCPU0\tmJ\t999\nCPU Energy\tmJ\t12000\nGPU Energy\tnJ\t34000000000\nGPU SRAM0\tmJ\t500\n"
    "DRAM0\tmJ\t1000\nDRAM0\tmJ\t500\nANE0\tmJ\t7\nDISP\tmJ\t8\nAVE\tseconds\t9\n"
)
Read = Callable[..., dict[str, float]]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the stand-in needs a C compiler (Debian: apt install gcc libc6-dev)"
    library = tmp_path_factory.mktemp("ioreport") / "libIOReport.so"
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
    subprocess.run([compiler, *options, "-o", library, SOURCE], check=True)
    return library


@pytest.fixture
def read(library: Path, tmp_path: Path) -> Read:
    def read(channels: str | None, looks: int = 1, **more: str) -> dict[str, float]:
        file = tmp_path / "channels"
        if channels is not None:
            file.write_text(channels)
            more["LOCALLLM_TEST_IOREPORT"] = str(file)
        told = subprocess.check_output(
            [sys.executable, "-c", READING, str(library), str(looks)],
            cwd=ROOT,
            env={**os.environ, **more},
            text=True,
        )
        return dict(json.loads(told))

    return read


def test_the_processor_and_the_gpu_with_its_memory_are_told_in_joules(read: Read) -> None:
    assert read(M_MAX) == {"cpu": pytest.approx(12.0), "metal:0": pytest.approx(36.0)}


def test_the_dies_of_an_ultra_are_added_up(read: Read) -> None:
    dies = "DIE_0_CPU Energy\tmJ\t1000\nDIE_1_CPU Energy\tmJ\t2000\nGPU Energy\tuJ\t5\n"

    assert read(dies) == {"cpu": pytest.approx(3.0), "metal:0": pytest.approx(5e-6)}


def test_a_chip_without_the_group_and_a_library_that_is_not_there_tell_nothing(read: Read) -> None:
    assert read(None) == {}
    assert AppleEnergy("/nowhere/libIOReport.dylib").read() == {}


def test_a_look_leaves_nothing_behind(read: Read, tmp_path: Path) -> None:
    leaks = tmp_path / "leaks"

    read(M_MAX, looks=1, LOCALLLM_TEST_LEAKS=str(leaks))
    after_one = leaks.read_text()
    read(M_MAX, looks=5, LOCALLLM_TEST_LEAKS=str(leaks))

    assert after_one == leaks.read_text() == "2", "its channels and its subscription are kept"


def test_channels_that_are_parts_of_others_are_not_counted_twice() -> None:
    sample = {"ECPU": 1.0, "CPU Energy": 5.0, "GPU": 3.0, "PCPU0_SRAM": 1.0}

    assert readings_of(sample) == {CPU: EnergyReading({"CPU Energy": Counter(5.0)})}
