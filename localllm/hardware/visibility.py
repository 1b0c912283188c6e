"""Which cards CUDA would show a process under CUDA_VISIBLE_DEVICES. Pure; never asks CUDA.

Source: CUDA Programming Guide, "CUDA Environment Variables".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ON_PURPOSE = ("", "-1")
"""Entries that name no card and are meant to: the customary ways to end the list."""


@dataclass(frozen=True, slots=True)
class Visible:
    numbers: frozenset[int]
    """Places in the machine's PCI order."""

    warnings: tuple[str, ...] = ()


def decide_visible(
    wanted: str | None, *, names: Sequence[str], uuids: Sequence[str | None], pci_order: bool
) -> Visible:
    """Read CUDA_VISIBLE_DEVICES as CUDA does: the first entry that names no card ends the list.

    `names` and `uuids` are all cards in PCI order; `pci_order`: CUDA_DEVICE_ORDER is
    PCI_BUS_ID. None is all cards, an empty string none.
    """
    if wanted is None:
        return Visible(frozenset(range(len(names))))
    entries = [entry.strip() for entry in wanted.split(",")]
    places = [_place(entry, uuids) for entry in entries]
    named = _until_none(places)
    if len(set(named)) < len(named):
        return Visible(frozenset(), (_say(wanted, "names a card twice, so CUDA shows none"),))
    if not named and entries[0] in _ON_PURPOSE:
        return Visible(frozenset(), _warn_hidden(wanted, names))
    warnings = (
        *_warn_invalid(wanted, entries, ended_at=len(named)),
        *_warn_order(wanted, entries[: len(named)], names, pci_order=pci_order),
    )
    return Visible(frozenset(named), warnings)


def _place(entry: str, uuids: Sequence[str | None]) -> int | None:
    if entry.isascii() and entry.isdigit():
        return int(entry) if int(entry) < len(uuids) else None
    if not entry.startswith("GPU-"):
        return None
    matches = [n for n, uuid in enumerate(uuids) if uuid is not None and uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _until_none(places: Sequence[int | None]) -> list[int]:
    named: list[int] = []
    for place in places:
        if place is None:
            break
        named.append(place)
    return named


def _warn_hidden(wanted: str, names: Sequence[str]) -> tuple[str, ...]:
    cards = "the NVIDIA card" if len(names) == 1 else f"all {len(names)} NVIDIA cards"
    return (_say(wanted, f"hides {cards}"),) if names else ()


def _warn_invalid(wanted: str, entries: Sequence[str], *, ended_at: int) -> tuple[str, ...]:
    if ended_at == len(entries) or entries[ended_at] in _ON_PURPOSE:
        return ()
    entry = entries[ended_at]
    if entry.startswith("MIG-"):
        return (_say(wanted, f"names a MIG slice ({entry}), which localllm cannot plan for yet"),)
    return (_say(wanted, f"ends for CUDA at {entry!r}, which names no single card here"),)


def _warn_order(
    wanted: str, entries: Sequence[str], names: Sequence[str], *, pci_order: bool
) -> tuple[str, ...]:
    by_number = any(entry.isdigit() for entry in entries)
    if pci_order or not by_number or len(set(names)) == 1:
        return ()
    problem = (
        "counts cards in the order of the PCI bus here, but CUDA may count the fastest first; "
        "set CUDA_DEVICE_ORDER=PCI_BUS_ID, or give a UUID, which is sure"
    )
    return (_say(wanted, problem),)


def _say(wanted: str, problem: str) -> str:
    return f"CUDA_VISIBLE_DEVICES={wanted!r} {problem}."
