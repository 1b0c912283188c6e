"""Which builds would run on a machine, known before anything is downloaded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.catalog.builds import Archive, Build, Drives
from localllm.engines.builds.fitting import Runtime, fitting, older
from localllm.hardware.graphics import Graphics
from localllm.hardware.machine import Machine
from tests.unit.planning.a_machine import a_card, a_mac_gpu, a_machine

HERE = Runtime(glibc="2.39", python="3.12")
CARD = a_card(driver="580.95.05", compute_capability="12.0")


def a_build(id_: str = "a-build", drives: str = "cuda", **more: object) -> Build:
    plain = {
        "title": id_,
        "engine": "llama-server",
        "version": "b1",
        "os": "linux",
        "arch": "x86_64",
        "licence": "MIT",
        "source": "tests",
        "program": "llama-server",
        "archives": (Archive("https://host/a.tar.gz", "0" * 64, 1),),
    }
    return Build(id=id_, drives=Drives(drives), **{**plain, **more})  # type: ignore[arg-type]


def why_not(build: Build, machine: Machine, runtime: Runtime = HERE) -> str | None:
    (candidate,) = fitting(machine, [build], runtime)
    return candidate.why_not


def order(machine: Machine, *builds: Build) -> list[str]:
    return [candidate.build.id for candidate in fitting(machine, builds, HERE)]


ALL = [a_build(drives, drives) for drives in ("cpu", "vulkan", "sycl", "rocm", "cuda")]


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (a_machine(CARD), ["cuda", "vulkan", "cpu"]),
        (a_machine(), ["cpu"]),
        (replace(a_machine(), graphics=(Graphics("amd", "744c"),)), ["rocm", "vulkan", "cpu"]),
        (replace(a_machine(), graphics=(Graphics("intel", "56a0"),)), ["sycl", "vulkan", "cpu"]),
    ],
    ids=["NVIDIA", "no card", "AMD", "Intel"],
)
def test_the_makers_own_way_comes_first_then_vulkan_then_the_processor(
    machine: Machine, expected: list[str]
) -> None:
    assert order(machine, *ALL) == expected


def test_of_builds_for_the_same_the_order_of_the_files_counts_and_those_that_would_not_run_come_last() -> (
    None
):
    first = a_build("first", least_driver="999")
    assert order(a_machine(CARD), first, a_build("second"), a_build("third")) == [
        "second",
        "third",
        "first",
    ]


def test_builds_for_other_systems_are_left_out() -> None:
    mac = replace(a_machine(a_mac_gpu()), host=replace(a_machine().host, os="darwin", arch="arm64"))
    metal = a_build("metal", "metal", os="darwin", arch="arm64")

    assert order(a_machine(CARD), a_build(), metal, a_build("arm", arch="arm64")) == ["a-build"]
    assert order(mac, a_build(), metal) == ["metal"]


@pytest.mark.parametrize(
    ("driver", "compute", "expected"),
    [
        ("570.26", "12.0", None),
        ("570.124.06", "8.9", None),
        ("570.25", "8.9", "it needs the NVIDIA driver 570.26 or newer, 570.25 is installed"),
        (None, "8.9", "an unknown one is installed"),
        ("580.1", "8.7", None),
        ("580.1", "9.0", "its code has to be translated, which takes the NVIDIA driver 615"),
        ("615.71", "9.0", None),
        ("615.71", "12.1", None),
        ("580.1", "12.1", "its code has to be translated"),
        ("615.71", "7.5", None),
        ("615.71", "6.1", "it has no code for NVIDIA GeForce RTX 4090 (compute capability 6.1"),
        ("615.71", None, "compute capability unknown"),
    ],
)
def test_a_cuda_build_needs_a_driver_and_code_for_the_card(
    driver: str | None, compute: str | None, expected: str | None
) -> None:
    build = a_build(
        least_driver="570.26", native=("8.6", "8.9", "12.0"), jit_from="7.5", jit_driver="615"
    )
    card = a_card(driver=driver, compute_capability=compute)

    found = why_not(build, a_machine(card))

    assert found is None if expected is None else found is not None and expected in found


def test_every_card_has_to_be_served() -> None:
    old = a_card(1, driver="580.95.05", compute_capability="5.2")
    build = a_build(native=("12.0",), jit_from="7.5", jit_driver="570")

    assert why_not(build, a_machine(CARD)) is None
    assert "compute capability 5.2" in (why_not(build, a_machine(CARD, old)) or "")


@pytest.mark.parametrize(
    ("needs", "runtime", "expected"),
    [
        ({"least_glibc": "2.38"}, HERE, None),
        ({"least_glibc": "2.40"}, HERE, "it needs glibc 2.40, this system has 2.39"),
        ({"least_glibc": "2.27"}, Runtime(None, "3.12"), "this system has none"),
        ({"python": "3.12"}, HERE, None),
        ({"python": "3.11"}, HERE, "it is for Python 3.11, this is 3.12"),
        ({"needs": ("libvulkan.so.1",)}, HERE, None),
        (
            {"needs": ("libvulkan.so.1",)},
            Runtime("2.39", "3.12", frozenset({"libvulkan.so.1"})),
            "it needs libvulkan.so.1, which is not installed (libvulkan1 on Debian",
        ),
    ],
)
def test_what_a_build_needs_of_the_system_is_checked(
    needs: dict[str, object], runtime: Runtime, expected: str | None
) -> None:
    found = why_not(a_build(drives="cpu", **needs), a_machine(), runtime)

    assert found is None if expected is None else found is not None and expected in found


@pytest.mark.parametrize(
    ("have", "than", "expected"),
    [
        ("13", "13.0", False),
        ("2.9", "2.10", True),
        ("570.124.06", "570.26", False),
        (None, "1", True),
    ],
)
def test_versions_are_compared_number_by_number(
    have: str | None, than: str, expected: bool
) -> None:
    assert older(have, than) is expected
