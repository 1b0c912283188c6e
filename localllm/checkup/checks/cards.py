"""AMD's and Intel's cards, and Vulkan: whether this user may open them, and whether a driver is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from localllm.checkup.checks.containers import is_inside
from localllm.checkup.finding import Area, Finding, Severity, ok, word
from localllm.checkup.known import Known
from localllm.checkup.packages import VULKAN, install
from localllm.checkup.place import Place, group_name, may_open
from localllm.hardware.graphics import Graphics, probe_graphics

_A = Area.DRIVER
_ON_THE_PROCESSOR = ("lvp_icd", "llvmpipe", "swrast")


def check_cards(known: Known) -> Iterator[Finding]:
    """Whether the user may open AMD's and Intel's cards."""
    place = known.place
    cards = [one for one in _given(place) if one.vendor in {"amd", "intel"}]
    if not cards:
        yield ok("driver.cards", _A, "No card of AMD's or Intel's is here.")
        return
    closed = list(_closed(place, cards))
    yield from closed
    if not closed:
        yield ok("driver.access", _A, f"{cards[0].name} may be used by this user.")
    yield from _kfd(place, cards)


def _given(place: Place) -> tuple[Graphics, ...]:
    """The cards that may be used: a container sees its host's, too, and has no door to them."""
    if is_inside(place) and not place.exists("dev/dri"):
        return ()
    return probe_graphics(place.root)


def _closed(place: Place, cards: list[Graphics]) -> Iterator[Finding]:
    doors = place.lists("dev/dri/renderD*")
    if any(one.vendor == "amd" for one in cards) and place.exists("dev/kfd"):
        doors = [place.root / "dev/kfd", *doors]
    for door in doors:
        if not may_open(door, place):
            yield _no_right(place, door)


def _no_right(place: Place, door: Path) -> Finding:
    group = group_name(door.stat().st_gid)
    shown = "/" + str(door.relative_to(place.root))
    return Finding(
        "driver.no-right",
        _A,
        Severity.PROBLEM,
        f"{place.user} may not open {shown}.",
        f"the graphics card is for the group {group}, so engines see no card and take the processor; "
        "a new group counts from the next login on, and for the daemon from its next start",
        None if is_inside(place) else f"sudo usermod -aG {word(group)} {word(place.user)}",
    )


def _kfd(place: Place, cards: list[Graphics]) -> Iterator[Finding]:
    amd = [one for one in cards if one.vendor == "amd" and one.discrete]
    if amd and not place.exists("dev/kfd"):
        yield Finding(
            "driver.no-kfd",
            _A,
            Severity.NOTE,
            f"{amd[0].name} is here, and /dev/kfd is not.",
            "ROCm needs it; Vulkan does without",
            None if is_inside(place) else "sudo modprobe amdgpu",
        )


def check_vulkan(known: Known) -> Iterator[Finding]:
    """Whether Vulkan has more than the processor."""
    place = known.place
    cards = _given(place)
    real, software = _drivers(place)
    named = place.environment.get("VK_DRIVER_FILES") or place.environment.get("VK_ICD_FILENAMES")
    if cards and named and all(_is_software(one) for one in named.split(":") if one):
        yield Finding(
            "driver.lavapipe",
            _A,
            Severity.WARNING,
            "VK_DRIVER_FILES or VK_ICD_FILENAMES leaves Vulkan nothing but lavapipe.",
            "that is the processor, dressed up as a graphics card: slow, and memory twice",
            "unset VK_DRIVER_FILES VK_ICD_FILENAMES",
        )
    elif any(one.vendor != "nvidia" for one in cards) and not real:
        yield Finding(
            "driver.lavapipe" if software else "driver.no-vulkan",
            _A,
            Severity.WARNING if any(one.discrete for one in cards) else Severity.NOTE,
            "Vulkan has no driver for the graphics card"
            + (", only lavapipe, which is the processor." if software else "."),
            "engines that use Vulkan would not find the card",
            install(place, VULKAN),
        )
    elif cards:
        yield ok("driver.vulkan", _A, "Vulkan has a driver for what is here.")


def _drivers(place: Place) -> tuple[list[str], list[str]]:
    """Names of Vulkan's drivers: those for cards, and those that are the processor."""
    folders = ("usr/share/vulkan/icd.d", "etc/vulkan/icd.d", "usr/local/share/vulkan/icd.d")
    names = [file.name for folder in folders for file in place.lists(f"{folder}/*.json")]
    return [n for n in names if not _is_software(n)], [n for n in names if _is_software(n)]


def _is_software(name: str) -> bool:
    return any(one in name for one in _ON_THE_PROCESSOR)
