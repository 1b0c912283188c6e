"""Cards of AMD's and Intel's, as /sys tells of them on machines that this one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.hardware.graphics import Graphics, probe_graphics
from localllm.hardware.probe import probe_machine

GIB = 1 << 30
AMD, INTEL, NVIDIA = "0x1002", "0x8086", "0x10de"


def a_card(
    root: Path, number: int, vendor: str, device: str, total: int | str | None = None
) -> Path:
    """Make card N as the kernel does: a link to the device on its bus, with the driver's files."""
    bus = f"0000:{number + 3:02x}:00.0"
    folder = root / "sys/devices/pci0000:00" / bus
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "device").write_text(f"{device}\n")
    if total is not None:
        (folder / "mem_info_vram_total").write_text(f"{total}\n")
    drm = root / "sys/class/drm"
    (drm / f"card{number}").mkdir(parents=True)
    (drm / f"card{number}" / "device").symlink_to(folder)
    (drm / f"card{number}-HDMI-A-1").mkdir()
    (drm / f"renderD{128 + number}").mkdir()
    return folder


@pytest.mark.parametrize(
    ("vendor", "device", "total", "discrete"),
    [
        (AMD, "0x744c", 24 * GIB, True),  # Radeon RX 7900 XTX
        (AMD, "0x164e", GIB // 2, False),  # a Ryzen's own
        (AMD, "0x15bf", 2 * GIB, False),  # the most that firmware sets aside by itself
        (AMD, "0x1586", 96 * GIB, True),  # Strix Halo, whose owner asked for more
        (AMD, "0x744c", None, False),
        (INTEL, "0x4905", None, True),  # Iris Xe MAX
        (INTEL, "0x4909", None, True),  # the last of DG1
        (INTEL, "0x56a0", None, True),  # Arc A770
        (INTEL, "0xe20b", None, True),  # Arc B580
        (INTEL, "0x46a6", None, False),  # Iris Xe of a laptop
        (INTEL, "0x490a", None, False),
        (INTEL, "0x3e92", None, False),
        (NVIDIA, "0x2b85", None, True),  # of which a driver should have told
    ],
)
def test_a_card_is_discrete_by_its_memory_or_its_number(
    tmp_path: Path, vendor: str, device: str, total: int | None, discrete: bool
) -> None:
    a_card(tmp_path, 0, vendor, device, total)

    name = {AMD: "amd", INTEL: "intel", NVIDIA: "nvidia"}[vendor]
    assert probe_graphics(tmp_path) == (
        Graphics(name, device.removeprefix("0x"), "0000:03:00.0", total, discrete=discrete),
    )


def test_a_card_has_a_name_for_people(tmp_path: Path) -> None:
    a_card(tmp_path, 0, AMD, "0x744c", 24 * GIB)
    a_card(tmp_path, 1, INTEL, "0x56a0")

    assert [card.name for card in probe_graphics(tmp_path)] == [
        "AMD graphics 744c",
        "Intel graphics 56a0",
    ]


def test_cards_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        a_card(tmp_path, number, AMD, f"0x74{number:02d}", 24 * GIB)

    assert [card.device for card in probe_graphics(tmp_path)] == ["7401", "7402", "7410"]


def test_virtual_cards_are_none(tmp_path: Path) -> None:
    a_card(tmp_path, 1, "0x1af4", "0x1050")
    a_card(tmp_path, 2, AMD, "0x744c", 24 * GIB)

    assert [card.device for card in probe_graphics(tmp_path)] == ["744c"]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, ["2b85"]), ({"CUDA_VISIBLE_DEVICES": ""}, [])],
    ids=["its driver does not answer", "its user has hidden it"],
)
def test_a_card_of_nvidias_counts_where_its_driver_should_have_told_of_it(
    tmp_path: Path, environment: dict[str, str], expected: list[str]
) -> None:
    a_card(tmp_path, 0, NVIDIA, "0x2b85")

    machine = probe_machine(environment=environment, root=tmp_path, system="Linux")

    assert machine.accelerators() == ()
    assert [card.device for card in machine.graphics] == expected


@pytest.mark.parametrize("total", ["", "many", "-1"])
def test_memory_that_cannot_be_read_is_unknown(tmp_path: Path, total: str) -> None:
    a_card(tmp_path, 0, AMD, "0x744c", total)

    (card,) = probe_graphics(tmp_path)

    assert (card.memory_total, card.discrete) == (None, False)


@pytest.mark.parametrize("name", ["vendor", "device"])
@pytest.mark.parametrize("how", ["missing", "a folder", "no text"])
def test_a_card_that_cannot_be_read_is_passed_over(tmp_path: Path, name: str, how: str) -> None:
    file = a_card(tmp_path, 0, AMD, "0x744c", 24 * GIB) / name
    a_card(tmp_path, 1, INTEL, "0x56a0")
    file.unlink()
    if how == "a folder":
        file.mkdir()
    elif how == "no text":
        file.write_bytes(b"\xff\xfe")

    assert [card.device for card in probe_graphics(tmp_path)] == ["56a0"]


def test_a_card_whose_device_is_gone_is_passed_over(tmp_path: Path) -> None:
    drm = tmp_path / "sys/class/drm/card0"
    drm.mkdir(parents=True)
    (drm / "device").symlink_to(tmp_path / "nowhere")

    assert probe_graphics(tmp_path) == ()


def test_where_there_is_no_sys_there_is_none(tmp_path: Path) -> None:
    assert probe_graphics(tmp_path) == ()


def test_this_machine_can_be_looked_at() -> None:
    assert all(card.vendor in {"amd", "intel"} for card in probe_graphics())
