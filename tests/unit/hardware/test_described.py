"""Machines that are not this one: what words and files make of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from localllm.errors import ConfigError
from localllm.hardware.described import describe_machine
from localllm.hardware.machine import CPU, DeviceKind, Machine
from localllm.hardware.probe import FACTS
from localllm.paths import bundled_profiles
from localllm.units import GIB, MIB
from tests.unit.hardware.conftest import Probe

BOX = """\
format = 1
[host]
memory_gib = 96
cores = 16
[[devices]]
name = "rtx3090"
count = 2
"""
MISSING = "no file at all"


def described(text: str) -> Machine:
    return describe_machine(text, bundled_profiles())


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        described(text)
    return caught.value


@pytest.fixture
def box(tmp_path: Path) -> Path:
    return tmp_path / "my-box.toml"


def of_file(file: Path, text: str) -> Machine:
    file.write_text(text)
    return described(str(file))


@pytest.mark.parametrize(
    ("text", "names", "total_mib", "usable_mib"),
    [
        ("rtx5090", ["NVIDIA GeForce RTX 5090"], 32607, 32607 - 1024),
        ("2xrtx5090", ["NVIDIA GeForce RTX 5090"] * 2, 32607, 32607 - 1024),
        ("rtx3060-12", ["NVIDIA GeForce RTX 3060"], 12288, 12288 - 1024),
        ("rtx4060ti-16gb", ["NVIDIA GeForce RTX 4060 Ti"], 16380, 16380 - 1024),
        ("h200", ["NVIDIA H200"], 143771, 143771 - 700),
        ("2xh200", ["NVIDIA H200"] * 2, 143771, 143771 - 700),
        ("RTX 4070 Ti SUPER", ["NVIDIA GeForce RTX 4070 Ti SUPER"], 16376, 16376 - 1024),
    ],
)
def test_cards_are_as_the_driver_would_tell_them_idle(
    text: str, names: list[str], total_mib: int, usable_mib: int
) -> None:
    machine = described(text)

    cards = machine.accelerators()
    assert [card.name for card in cards] == names
    assert [card.id for card in cards] == [f"cuda:{n}" for n in range(len(names))]
    assert {card.memory_total for card in cards} == {total_mib * MIB}
    assert {card.memory_usable for card in cards} == {usable_mib * MIB}
    assert {card.source for card in machine.devices} == {"described"}
    assert machine.devices[-1].id == CPU


@pytest.mark.parametrize("name", ["rtx5090", "rtx4090", "h100"])
def test_a_described_card_is_the_probed_one(probe_in: Probe, name: str) -> None:
    probed = probe_in(name)["devices"][0]

    card = described(name).devices[0]

    for fact in ("id", "kind", "name", "memory_total", "bandwidth", "compute_capability"):
        assert getattr(card, fact) == probed[fact]
    assert card.half_precision_flops == probed["half_precision_flops"]
    assert card.sources["bandwidth"] == probed["sources"]["bandwidth"] == "nvidia.toml"


def test_cards_of_different_size_keep_the_order_in_which_they_are_named() -> None:
    cards = described("rtx5090+rtx3090").accelerators()

    assert [(card.id, card.name) for card in cards] == [
        ("cuda:0", "NVIDIA GeForce RTX 5090"),
        ("cuda:1", "NVIDIA GeForce RTX 3090"),
    ]


@pytest.mark.parametrize(
    ("text", "gigabytes", "bandwidth", "usable_bytes"),
    [
        ("m1-8", 8, 68.25, 8 * GIB * 2 // 3),
        ("m3-max-36", 36, 300, 36 * GIB * 3 // 4),
        ("m3-max-48", 48, 400, 40_200_900_000),
        ("m4-max-36", 36, 410, 36 * GIB * 3 // 4),
        ("m4-max-128", 128, 546, 115_448_730_000),
        ("Apple M4 Max 64GB", 64, 546, 51 * GIB),
        ("m3-ultra-512", 512, 819, 498_216_210_000),
        ("m5-max-36", 36, 460, 36 * GIB * 3 // 4),
    ],
)
def test_a_mac_may_use_what_macos_lets_the_gpu_wire(
    text: str, gigabytes: int, bandwidth: float, usable_bytes: int
) -> None:
    machine = described(text)

    (gpu,) = machine.accelerators()
    assert (gpu.id, gpu.kind, gpu.unified) == ("metal:0", DeviceKind.METAL, True)
    assert gpu.memory_total == machine.host.memory_total == gigabytes * GIB
    assert gpu.memory_usable == usable_bytes
    assert gpu.bandwidth == round(bandwidth * 1e9)
    assert (machine.host.os, machine.host.arch, machine.warnings) == ("darwin", "arm64", ())


def test_a_chip_that_shares_memory_under_linux_has_what_the_system_leaves() -> None:
    machine = described("gb10")

    gpu, cpu = machine.devices
    assert (gpu.kind, gpu.unified, machine.host.arch) == (DeviceKind.CUDA, True, "arm64")
    assert gpu.memory_total == machine.host.memory_total
    assert gpu.memory_usable == cpu.memory_usable == gpu.memory_total - gpu.memory_total // 20


@pytest.mark.parametrize(
    ("text", "gigabytes", "assumed"),
    [
        ("rtx5090", 64, True),
        ("rtx5090+128gb", 128, False),
        ("2x rtx5090 + 96 GB", 96, False),
        ("rtx5090+cpu-32", 32, False),
        ("h200-141", 64, True),
    ],
)
def test_the_memory_of_a_host_is_said_or_assumed_aloud(
    text: str, gigabytes: int, assumed: bool
) -> None:
    machine = described(text)

    assert machine.host.memory_total == gigabytes * GIB
    assert machine.devices[-1].memory_usable == gigabytes * GIB - gigabytes * GIB // 20
    said = f"The host is taken to have 64 GiB of memory; say {text}+128gb for one with 128."
    assert machine.warnings == ((said,) if assumed else ())


@pytest.mark.parametrize("text", ["cpu-64", "64gb"])
def test_a_processor_alone_has_no_accelerator(text: str) -> None:
    machine = described(text)

    assert machine.accelerators() == ()
    assert machine.devices[0].memory_total == 64 * GIB
    assert machine.warnings == ("The processor is taken to have 8 cores.",)


@pytest.mark.parametrize("text", ["rtx5090", "m1-8", "m4-max-128", "gb10", "h100-nvl"])
def test_every_known_fact_of_a_described_device_has_a_source(text: str) -> None:
    for device in described(text).devices:
        known = {fact for fact in FACTS if getattr(device, fact) is not None}
        assert set(device.sources) == known
        assert all(device.sources.values())


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("rtx4090-laptop", "rtx4090"),
        ("5090", "rtx5090"),
        ("2xrtx5900", "rtx5090"),
        ("rtx5090+rtx309", "rtx3090"),
        ("m4max128", "m4-max"),
        ("m4-maxx-128", "m4-max"),
    ],
)
def test_an_unknown_name_is_a_usage_error_with_the_nearest(text: str, near: str) -> None:
    error = refusal(text)

    assert "No hardware is known as" in error.what
    assert near in error.what
    assert error.exit_code == 2
    assert "rtx5090+rtx3090" in error.fix
    assert "TOML" in error.fix


@pytest.mark.parametrize("text", ["", "toaster", "64", "+", "rtx5090+"])
def test_what_is_like_nothing_is_answered_with_all_that_is_known(text: str) -> None:
    error = refusal(text)

    assert "No hardware is known as" in error.what
    assert "m4-max" in error.why
    assert "rtx5090" in error.why


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("m4-max", "m4-max-36, m4-max-48, m4-max-64 or m4-max-128"),
        ("m4-max-96", "m4-max-36, m4-max-48, m4-max-64 or m4-max-128"),
        ("m1", "m1-8 or m1-16"),
        ("rtx3060", "rtx3060-8 or rtx3060-12"),
        ("rtx4090-48", "rtx4090-24"),
    ],
)
def test_a_size_that_is_missing_or_not_sold_is_answered_with_those_that_are(
    text: str, fix: str
) -> None:
    error = refusal(text)

    assert f"write {fix};" in error.fix
    assert error.exit_code == 2


@pytest.mark.parametrize(
    "text", ["m1-8+rtx5090", "m4-max-128+64gb", "2xm1-8", "gb10+128gb", "rtx5090+64gb+32gb"]
)
def test_what_contradicts_itself_is_no_machine(text: str) -> None:
    assert "is no machine" in refusal(text).what


def test_a_file_describes_what_no_word_does(box: Path) -> None:
    machine = of_file(
        box,
        BOX + 'bandwidth_gb_s = 1000\n[[devices]]\nname = "AMD Radeon RX 7900 XTX"\n'
        'kind = "vulkan"\nmemory_gib = 24\nreserve_mib = 2048\n',
    )

    first, second, third, cpu = machine.devices
    assert [d.id for d in machine.devices] == ["cuda:0", "cuda:1", "vulkan:0", "cpu"]
    assert dataclasses.replace(first, id=second.id) == second
    assert (first.name, first.bandwidth) == ("NVIDIA GeForce RTX 3090", 10**12)
    assert first.sources["bandwidth"] == "my-box.toml, nvidia.toml"
    assert first.half_precision_flops == 71e12
    assert (third.name, third.memory_usable) == ("AMD Radeon RX 7900 XTX", 22 * GIB)
    assert (machine.host.cores, cpu.memory_total) == (16, 96 * GIB)
    assert machine.warnings == (
        "vulkan:0 (AMD Radeon RX 7900 XTX): its memory bandwidth is not known, so its speed "
        "cannot be predicted.",
    )


@pytest.mark.parametrize(
    ("device", "memory_gib", "same_as"),
    [
        ('name = "m4-max"', 128, "m4-max-128"),
        ('name = "Apple M4 Max"', 36, "m4-max-36"),
        ('name = "rtx3060"\nmemory_gib = 8', 64, "rtx3060-8"),
        ('name = "NVIDIA L40S"\nmemory_gib = 48', 64, "l40s"),
    ],
)
def test_a_file_may_name_what_is_known(
    box: Path, device: str, memory_gib: float, same_as: str
) -> None:
    machine = of_file(box, f"format = 1\n[host]\nmemory_gib = {memory_gib}\n[[devices]]\n{device}")

    gpu, twin = machine.devices[0], described(same_as)
    assert dataclasses.replace(gpu, sources={}) == dataclasses.replace(twin.devices[0], sources={})
    assert machine.host.os == twin.host.os


def test_a_file_is_not_told_more_memory_than_it_said(box: Path) -> None:
    machine = of_file(box, BOX.replace("count = 2", "memory_gib = 23"))

    assert machine.devices[0].memory_total == 23 * GIB


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "format"),
        (BOX.replace("format = 1", "format = 2"), "format"),
        (BOX.replace("memory_gib", "memory_gb"), "memory_gb"),
        (BOX.replace("96", '"96"'), "memory_gib"),
        (BOX.replace("count = 2", "count = 0"), "count"),
        (BOX + 'kind = "npu"', "kind"),
        (BOX.replace("rtx3090", "my card"), "`my card` needs `memory_gib`"),
        (BOX.replace("rtx3090", "rtx3060"), "`rtx3060` needs `memory_gib`"),
        (BOX.replace("rtx3090", "m1"), "one device alone"),
        (BOX + "unified = true\nmemory_gib = 24", "shares the host's memory"),
        ("format =\n", "line 1"),
        (MISSING, "No such file"),
    ],
)
def test_a_wrong_file_is_a_usage_error_that_names_file_and_field(
    box: Path, text: str, named: str
) -> None:
    if text is not MISSING:
        box.write_text(text)

    error = refusal(str(box))

    assert named in error.why
    assert str(box) in error.what
    assert error.exit_code == 2
