"""NVIDIA's driver: whether the kernel has it, and whether its two halves are of one version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.checkup.checks.builds import is_of_nvidia
from localllm.checkup.checks.containers import is_inside
from localllm.checkup.finding import Area, Finding, Severity, ok
from localllm.checkup.known import Known
from localllm.checkup.packages import family, is_ubuntu, nvidia_driver
from localllm.checkup.place import Place
from localllm.hardware.machine import DeviceKind

_A = Area.DRIVER
_VERSION = re.compile(r"Module\s+(?:for \S+\s+)?(\d+\.\d+(?:\.\d+)?)")
_LIBRARY = re.compile(r"libnvidia-ml\.so\.(\d+\.\d+(?:\.\d+)?)\Z")
_LIBRARY_FOLDERS = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/local/nvidia/lib64",
    "run/opengl-driver/lib",
)
_DISPLAY = "0x03"
_DOORS = ("dev/nvidiactl", "dev/dxg", "dev/nvhost-ctrl")
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass(frozen=True, slots=True)
class _Card:
    bus: str
    driver: str | None


def check_nvidia(known: Known) -> Iterator[Finding]:
    """Whether NVIDIA's driver is there, loaded, and of one version."""
    place = known.place
    if is_inside(place) and not any(place.exists(door) for door in _DOORS):
        yield ok("driver.nvidia", _A, "No NVIDIA card was given to this container.")
        return
    cards = _cards(place)
    if not cards:
        yield from _off_the_bus(known)
        return
    kernel = _VERSION.search(place.read("proc/driver/nvidia/version"))
    if kernel is None:
        yield _not_loaded(place, cards)
        return
    library = _library_version(place)
    if library is not None and library != kernel[1]:
        yield Finding(
            "driver.mismatch",
            _A,
            Severity.PROBLEM,
            f"NVIDIA's kernel module is {kernel[1]}, its library {library}.",
            "the driver was updated while it was loaded; until the new module is, no program can use "
            "the card",
            "sudo reboot",
        )
        return
    warnings = _warnings(known)
    for warning in warnings:
        yield Finding("driver.broken", _A, Severity.PROBLEM, warning, None, "nvidia-smi")
    if not warnings:
        yield ok("driver.nvidia", _A, f"NVIDIA's driver {kernel[1]} is loaded.")


def _off_the_bus(known: Known) -> Iterator[Finding]:
    """WSL2 and NVIDIA's own boards have a card that is no device of PCI's."""
    devices = () if (machine := known.machine.get()) is None else machine.devices
    if any(one.kind is DeviceKind.CUDA for one in devices):
        yield ok("driver.nvidia", _A, "NVIDIA's driver works.")
        return
    for warning in _warnings(known):
        severity = Severity.NOTE if _is_of_library(warning) else Severity.PROBLEM
        yield Finding("driver.broken", _A, severity, warning, None, "nvidia-smi")
    if not _warnings(known):
        yield ok("driver.nvidia", _A, "No NVIDIA card is on the bus.")


def _is_of_library(warning: str) -> bool:
    """Whether no more is known than that the library is not there: WSL2 passes AMD's cards on, too."""
    return "libnvidia-ml" in warning


def _warnings(known: Known) -> Sequence[str]:
    return [one for one in known.probe_warnings if is_of_nvidia(one)]


def _cards(place: Place) -> list[_Card]:
    """List graphics cards of NVIDIA's on the PCI bus, with a driver or without."""
    found = []
    for folder in place.lists("sys/bus/pci/devices/*"):
        vendor, kind = _word(folder / "vendor"), _word(folder / "class")
        if vendor == "0x10de" and kind.startswith(_DISPLAY):
            driver = folder / "driver"
            found.append(_Card(folder.name, driver.resolve().name if driver.exists() else None))
    return found


def _not_loaded(place: Place, cards: Sequence[_Card]) -> Finding:
    drivers = {card.driver for card in cards}
    if "nouveau" in drivers:
        return Finding(
            "driver.nouveau",
            _A,
            Severity.PROBLEM,
            f"The NVIDIA card at {cards[0].bus} is driven by nouveau.",
            "no engine can compute with that driver; NVIDIA's own is needed",
            nvidia_driver(place),
        )
    if drivers == {"vfio-pci"}:
        return Finding(
            "driver.vfio",
            _A,
            Severity.NOTE,
            f"The NVIDIA card at {cards[0].bus} is set aside for a virtual machine (vfio-pci).",
            "this system cannot use it meanwhile",
        )
    if _is_secure_boot(place) and place.lists("lib/modules/*/updates/dkms/nvidia*") + place.lists(
        "lib/modules/*/extra/nvidia*"
    ):
        return Finding(
            "driver.secure-boot",
            _A,
            Severity.PROBLEM,
            "NVIDIA's driver is installed, and Secure Boot does not let the kernel load it.",
            "its module is signed with a key that this computer's firmware does not know yet",
            f"sudo mokutil --import {_signing_key(place)} && sudo reboot",
        )
    return Finding(
        "driver.not-loaded",
        _A,
        Severity.PROBLEM,
        f"There is an NVIDIA card at {cards[0].bus}, and NVIDIA's kernel module is not loaded.",
        "no engine can use the card; models would be computed by the processor",
        "sudo modprobe nvidia" if _has_module(place) else nvidia_driver(place),
    )


def _has_module(place: Place) -> bool:
    kernel = place.read("proc/sys/kernel/osrelease").strip() or "*"
    patterns = (
        *("updates/dkms/nvidia.ko*", "extra/nvidia*", "kernel/drivers/video/nvidia.ko*"),
        "kernel/nvidia-*/nvidia.ko*",  # Ubuntu's own, already signed
    )
    return any(place.lists(f"lib/modules/{kernel}/{one}") for one in patterns)


def _signing_key(place: Place) -> str:
    if family(place) == "fedora":
        return "/etc/pki/akmods/certs/public_key.der"
    if is_ubuntu(place):
        return "/var/lib/shim-signed/mok/MOK.der"
    return "/var/lib/dkms/mok.pub"


def _is_secure_boot(place: Place) -> bool:
    """Four bytes of attributes, then 1 where it is on. Source: UEFI 2.10, 8.2 and 3.3."""
    try:
        return (place.root / _SECURE_BOOT).read_bytes()[4:5] == b"\x01"
    except OSError:
        return False


def _library_version(place: Place) -> str | None:
    """Find which version libnvidia-ml.so.1 leads to; None where there is none, or it does not say."""
    for folder in _LIBRARY_FOLDERS:
        link = place.root / folder / "libnvidia-ml.so.1"
        try:
            found = _LIBRARY.search(str(link.resolve(strict=True)))
        except OSError:
            continue
        if found is not None:
            return found[1]
    return None


def _word(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
