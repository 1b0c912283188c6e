"""Graphics cards that the system knows of and no library of ours can ask.

AMD's and Intel's, and NVIDIA's where its driver does not answer. Read from /sys, to know that a card
is there which an engine should be fetched for, or a driver mended. What may be spent of it is told
by an engine's own list, once there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_VENDORS = {"0x1002": "amd", "0x8086": "intel", "0x10de": "nvidia"}
_MAKERS = {"amd": "AMD", "intel": "Intel", "nvidia": "NVIDIA"}
_CARD = re.compile(r"^card\d+$")
_DISCRETE_INTEL = re.compile(r"^0x(490[5-9]|56[0-9a-f]{2}|e2[0-9a-f]{2})$")
"""DG1, Alchemist and Battlemage. Source: Linux, include/drm/intel/pciids.h."""

_LEAST_DISCRETE_BYTES = 3 << 30
"""amdgpu tells of an integrated one as its own what the firmware has set aside: 2 GiB at most,
unless its owner has asked for more, and then it is worth as much as a card."""


@dataclass(frozen=True, slots=True)
class Graphics:
    """One card, as the kernel tells of it."""

    vendor: str
    """amd, intel or nvidia."""

    device: str
    """Its PCI number, as in 744c."""

    pci_bus: str | None = None
    memory_total: int | None = None
    """Bytes of its own; None where the driver does not tell."""

    discrete: bool = False
    """With memory of its own that is worth computing on; an integrated one is no reason to
    refuse the processor."""

    @property
    def name(self) -> str:
        return f"{_MAKERS[self.vendor]} graphics {self.device}"


def probe_graphics(root: Path = Path("/")) -> tuple[Graphics, ...]:
    """Read every card of /sys/class/drm that one of them made; none where there is no /sys."""
    drm = root / "sys/class/drm"
    try:
        cards = sorted((p for p in drm.iterdir() if _CARD.match(p.name)), key=_number)
    except OSError:
        return ()
    return tuple(_read(cards))


def _number(card: Path) -> int:
    return int(card.name.removeprefix("card"))


def _read(cards: list[Path]) -> Iterator[Graphics]:
    for card in cards:
        folder = card / "device"
        vendor = _VENDORS.get(_word(folder / "vendor") or "")
        device = _word(folder / "device")
        if vendor is None or device is None:
            continue
        memory = _word(folder / "mem_info_vram_total")
        total = int(memory) if memory is not None and memory.isdigit() else None
        yield Graphics(
            vendor,
            device.removeprefix("0x"),
            folder.resolve().name if folder.exists() else None,
            total,
            discrete=_is_discrete(vendor, device, total),
        )


def _is_discrete(vendor: str, device: str, total: int | None) -> bool:
    if vendor == "nvidia":
        return True  # it makes no other for computers that run localllm
    if vendor == "intel":
        return _DISCRETE_INTEL.match(device) is not None
    return total is not None and total >= _LEAST_DISCRETE_BYTES


def _word(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
