"""What is wrong with a driver, on computers with cards that this one has not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from localllm.checkup.checks.cards import check_cards, check_vulkan
from localllm.checkup.checks.driver import check_nvidia
from localllm.checkup.finding import Severity
from localllm.checkup.place import Place
from tests.unit.checkup.a_place import FEDORA, a_known, a_machine, a_place, bad, only
from tests.unit.hardware.test_graphics import AMD, GIB, INTEL, a_card

BUS = "sys/bus/pci/devices/0000:01:00.0"
CARD = {f"{BUS}/vendor": "0x10de\n", f"{BUS}/class": "0x030000\n"}
LOADED = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.16"
    "  Release Build\n"
}
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
LIBRARY = "usr/lib/x86_64-linux-gnu"


def driven_by(place: Place, driver: str) -> None:
    folder = place.root / "sys/bus/pci/drivers" / driver
    folder.mkdir(parents=True)
    (place.root / BUS / "driver").symlink_to(folder)


def library(place: Place, version: str) -> None:
    folder = place.root / LIBRARY
    folder.mkdir(parents=True)
    (folder / f"libnvidia-ml.so.{version}").touch()
    (folder / "libnvidia-ml.so.1").symlink_to(f"libnvidia-ml.so.{version}")


def test_a_card_that_nouveau_drives_needs_the_distributions_driver(tmp_path: Path) -> None:
    place = a_place(tmp_path, CARD)
    driven_by(place, "nouveau")

    found = only(check_nvidia(a_known(place)))

    assert (found.id, found.severity) == ("driver.nouveau", Severity.PROBLEM)
    assert found.fix == "sudo ubuntu-drivers install && sudo reboot"
    assert found.repair is None, "never sudo"


def test_the_command_is_that_of_the_distribution(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**CARD, "etc/os-release": FEDORA})
    driven_by(place, "nouveau")

    fix = only(check_nvidia(a_known(place))).fix

    driver = "sudo dnf install akmod-nvidia xorg-x11-drv-nvidia-cuda"
    assert fix == f"{driver} && sudo akmods --force && sudo reboot", "it is to be built before"


def test_what_is_made_of_ubuntu_has_ubuntus_command(tmp_path: Path) -> None:
    mint = 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'
    place = a_place(tmp_path, {**CARD, "etc/os-release": mint})

    assert only(check_nvidia(a_known(place))).fix == "sudo ubuntu-drivers install && sudo reboot"


def test_a_system_that_is_an_image_gets_no_command_of_dnf(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**CARD, "etc/os-release": FEDORA, "run/ostree-booted": ""})

    assert "dnf" not in (only(check_nvidia(a_known(place))).fix or "")


INSIDE = {".dockerenv": "", "proc/1/comm": "tini\n"}


def test_in_a_container_the_hosts_cards_and_drivers_are_nobodys_concern(tmp_path: Path) -> None:
    """It sees the host's bus, and could install what it likes to no avail."""
    place = a_place(tmp_path, {**CARD, **INSIDE, **LOADED})
    a_card(place.root, 0, INTEL, "0x56a0")
    machine = a_machine("cpu-16", warnings=("x is here, but libnvidia-ml.so.1 is not",))
    known = a_known(place, machine=machine)

    assert bad([*check_nvidia(known), *check_cards(known), *check_vulkan(known)]) == []


@pytest.mark.parametrize(
    ("warning", "severity"),
    [
        ("The NVIDIA driver does not work (X): reboot.", Severity.PROBLEM),
        (
            "/dev/dxg is here, but libnvidia-ml.so.1 is not, so no NVIDIA card is used",
            Severity.NOTE,
        ),
    ],
)
def test_a_card_that_is_not_on_the_bus_may_have_a_broken_driver_too(
    tmp_path: Path, warning: str, severity: Severity
) -> None:
    """As under WSL2, where a card of AMD's looks the same."""
    machine = a_machine("cpu-16", warnings=(warning,))

    found = only(check_nvidia(a_known(a_place(tmp_path, {"dev/dxg": ""}), machine=machine)))

    assert (found.id, found.severity) == ("driver.broken", severity)


def test_who_sits_at_a_desktop_may_open_the_card_by_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = a_place(tmp_path, {"dev/dri/renderD128": ""})
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)
    (place.root / "dev/dri/renderD128").chmod(0o660)
    assert "driver.no-right" in bad(check_cards(a_known(place)))

    monkeypatch.setattr(os, "geteuid", lambda: place.user_id)
    monkeypatch.setattr(os, "access", lambda *_: True)

    assert "driver.no-right" not in bad(check_cards(a_known(place)))


def test_no_finding_ends_the_users_session(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"dev/dri/renderD128": ""})
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)
    (place.root / "dev/dri/renderD128").chmod(0o660)

    found = next(one for one in check_cards(a_known(place)) if one.id == "driver.no-right")

    assert "&&" not in (found.fix or "")
    assert "next login" in (found.why or "")


def test_an_integrated_card_without_vulkan_is_no_more_than_a_note(tmp_path: Path) -> None:
    """As on a server, whose processor has one by the way."""
    place = a_place(tmp_path)
    a_card(place.root, 0, INTEL, "0x4680")

    assert only(check_vulkan(a_known(place))).severity is Severity.NOTE


def test_a_module_that_is_there_and_not_loaded_is_loaded(tmp_path: Path) -> None:
    module = "lib/modules/6.8.0/updates/dkms/nvidia.ko.zst"
    place = a_place(tmp_path, {**CARD, module: "", "proc/sys/kernel/osrelease": "6.8.0\n"})

    found = only(check_nvidia(a_known(place)))

    assert (found.id, found.fix) == ("driver.not-loaded", "sudo modprobe nvidia")


@pytest.mark.parametrize(
    ("release", "key"),
    [
        ("ID=ubuntu\n", "/var/lib/shim-signed/mok/MOK.der"),
        ("ID=debian\n", "/var/lib/dkms/mok.pub"),
        (FEDORA, "/etc/pki/akmods/certs/public_key.der"),
    ],
)
def test_secure_boot_is_named_where_it_keeps_the_module_out(
    tmp_path: Path, release: str, key: str
) -> None:
    files = {
        **CARD,
        "lib/modules/6.8.0/updates/dkms/nvidia.ko": "",
        "etc/os-release": release,
        SECURE_BOOT: b"\x06\0\0\0\x01",
    }

    found = only(check_nvidia(a_known(a_place(tmp_path, files))))

    assert found.id == "driver.secure-boot"
    assert found.fix == f"sudo mokutil --import {key} && sudo reboot"


def test_a_library_of_another_version_than_the_module_means_a_reboot(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**CARD, **LOADED})
    library(place, "575.51.02")

    found = only(check_nvidia(a_known(place)))

    assert (found.id, found.fix) == ("driver.mismatch", "sudo reboot")
    assert "570.86.16" in found.what
    assert "575.51.02" in found.what


def test_a_driver_of_one_version_is_in_order(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**CARD, **LOADED})
    library(place, "570.86.16")

    assert bad(check_nvidia(a_known(place, machine="rtx5090"))) == []


def test_what_the_library_itself_complains_of_is_a_problem(tmp_path: Path) -> None:
    place = a_place(tmp_path, {**CARD, **LOADED})
    machine = a_machine("cpu-16", warnings=("The NVIDIA driver does not work (X): reboot.",))

    assert bad(check_nvidia(a_known(place, machine=machine))) == ["driver.broken"]


def test_a_card_of_a_virtual_machine_is_only_noted(tmp_path: Path) -> None:
    place = a_place(tmp_path, CARD)
    driven_by(place, "vfio-pci")

    assert only(check_nvidia(a_known(place))).severity is Severity.NOTE


def test_no_card_is_no_finding(tmp_path: Path) -> None:
    assert bad(check_nvidia(a_known(a_place(tmp_path)))) == []


def test_a_card_that_the_user_may_not_open_names_the_group(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"dev/kfd": "", "dev/dri/renderD128": ""})
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)
    for name in ("dev/kfd", "dev/dri/renderD128"):
        (place.root / name).chmod(0o660)

    found = list(check_cards(a_known(place)))

    closed = [one for one in found if one.id == "driver.no-right"]
    assert [one.what for one in closed] == [
        "dev may not open /dev/kfd.",
        "dev may not open /dev/dri/renderD128.",
    ]
    assert closed[0].fix is not None
    assert closed[0].fix.startswith("sudo usermod -aG ")


def test_a_member_of_the_group_may(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"dev/kfd": "", "dev/dri/renderD128": ""})
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)
    for name in ("dev/kfd", "dev/dri/renderD128"):
        (place.root / name).chmod(0o660)
    mine = frozenset({(place.root / "dev/kfd").stat().st_gid})

    assert bad(check_cards(a_known(a_place(tmp_path, groups=mine)))) == []


@pytest.mark.parametrize(
    ("drivers", "id_"),
    [
        (["lvp_icd.x86_64.json"], "driver.lavapipe"),
        ([], "driver.no-vulkan"),
    ],
)
def test_vulkan_without_a_driver_for_the_card_is_a_warning(
    tmp_path: Path, drivers: list[str], id_: str
) -> None:
    place = a_place(tmp_path, {f"usr/share/vulkan/icd.d/{name}": "{}" for name in drivers})
    a_card(place.root, 0, INTEL, "0x56a0")

    found = only(check_vulkan(a_known(place)))

    assert (found.id, found.fix) == (id_, "sudo apt install mesa-vulkan-drivers")


def test_vulkan_led_to_the_processor_by_a_variable_is_a_warning(tmp_path: Path) -> None:
    drivers = {"usr/share/vulkan/icd.d/intel_icd.x86_64.json": "{}"}
    place = a_place(tmp_path, drivers, environment={"VK_DRIVER_FILES": "/x/lvp_icd.json"})
    a_card(place.root, 0, INTEL, "0x56a0")

    assert only(check_vulkan(a_known(place))).fix == "unset VK_DRIVER_FILES VK_ICD_FILENAMES"


def test_vulkan_with_a_driver_for_the_card_is_in_order(tmp_path: Path) -> None:
    place = a_place(tmp_path, {"usr/share/vulkan/icd.d/radeon_icd.x86_64.json": "{}"})
    a_card(place.root, 0, AMD, "0x744c", 24 * GIB)

    assert bad(check_vulkan(a_known(place))) == []
