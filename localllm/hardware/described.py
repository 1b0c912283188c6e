"""A machine that is not this one: from words such as 2xrtx5090 or m4-max-128, or a TOML file.

Made up as the probe would find it with nothing else running. Asks no driver. What was not said
and had to be assumed is in the machine's warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from localllm.errors import ConfigError
from localllm.hardware.cards import Card, cards_called, read_cards
from localllm.hardware.described_file import read_machine
from localllm.hardware.machine import DeviceKind, Machine
from localllm.hardware.made_up import HOST_CORES, make_host, make_machine
from localllm.units import GIB

HOST_GIB = 64
"""Assumed beside cards whose host nobody described: what a workstation with one comes with."""

_EXAMPLES = "rtx5090, 2xrtx4090, rtx5090+rtx3090, rtx5090+128gb, m4-max-128 or cpu-64"
_TIMES = re.compile(r"(?P<count>[1-9]\d?)\s*x\s*(?P<name>\D.*)")
_SIZED = re.compile(r"(?P<name>.+)[\s-](?P<gib>\d{1,4})\s*(?:gb|gib)?")
_HOST = re.compile(r"(?:cpu[\s-])?(?P<gib>[1-9]\d{0,4})\s*(?:gb|gib)?")


def describe_machine(text: str, profiles: Path) -> Machine:
    """Make up the machine that `plan --for` names.

    Args:
        text: Cards (`rtx5090`, `2xrtx4090`, `rtx5090+rtx3090`; `rtx3060-12` where one comes in
            several sizes), with the host's memory where it is not 64 GiB (`rtx5090+128gb`); a
            Mac with its memory (`m4-max-128`); a processor with its memory (`cpu-64`); or the
            path of a TOML file, which ends in .toml.
        profiles: The folder that has `hardware/*.toml`.

    Raises:
        ConfigError: There is no such card or size, or the file is not what this version reads.
    """
    cards = read_cards(profiles / "hardware")
    if text.casefold().endswith(".toml"):
        return read_machine(Path(text), cards)
    parts = [part.strip().casefold() for part in text.split("+")]
    host_sizes = [size for part in parts for size in _host_size(part)]
    found = [c for part in parts if not _host_size(part) for c in _find_cards(part, cards)]
    shared = [card for card in found if card.unified]
    if len(host_sizes) > 1 or (shared and len(host_sizes) + len(found) > 1):
        raise _contradiction(text)
    if shared:
        return _unified_machine(shared[0])
    return make_machine(
        make_host(host_sizes[0] if host_sizes else HOST_GIB * GIB),
        found,
        _assumed(found, host_sizes, text.strip()),
    )


def _host_size(part: str) -> tuple[int, ...]:
    """The host's memory in bytes, if that is what the part says; a bare number says nothing."""
    match = _HOST.fullmatch(part)
    if match is None or part == match["gib"]:
        return ()
    return (int(match["gib"]) * GIB,)


def _find_cards(part: str, cards: Sequence[Card]) -> list[Card]:
    """What one part names, as often as it says, each with the one size that is meant."""
    match = _TIMES.fullmatch(part)
    name, count = (part, 1) if match is None else (match["name"], int(match["count"]))
    return [_find_sized(name, cards)] * count


def _find_sized(name: str, cards: Sequence[Card]) -> Card:
    plain, sized = cards_called(cards, name), _SIZED.fullmatch(name)
    known = plain or (cards_called(cards, sized["name"]) if sized else ())
    if not known:
        raise _unknown(name, cards)
    meant = [(card, size) for card in known for size in card.memory_sizes]
    if sized is not None and not plain:
        wanted = int(sized["gib"]) * GIB
        meant = [(card, size) for card, size in meant if size == card.size_near(wanted)]
    if len(meant) != 1:
        raise _size_unclear(name, known)
    card, size = meant[0]
    return replace(card, memory_sizes=(size,))


def _unified_machine(card: Card) -> Machine:
    apple = card.kind is DeviceKind.METAL
    host = make_host(
        card.memory_sizes[0],
        os="darwin" if apple else "linux",
        arch="arm64",
        cpu=card.title if apple else None,
    )
    return make_machine(host, [card])


def _assumed(found: Sequence[Card], host_sizes: Sequence[int], text: str) -> tuple[str, ...]:
    if not found:
        return (f"The processor is taken to have {HOST_CORES} cores.",)
    if host_sizes:
        return ()
    return (
        f"The host is taken to have {HOST_GIB} GiB of memory; say {text}+128gb for one with 128.",
    )


def _unknown(name: str, cards: Iterable[Card]) -> ConfigError:
    known = list(dict.fromkeys(card.alias for card in cards if card.alias))
    sized = _SIZED.fullmatch(name)
    near = get_close_matches(sized["name"] if sized else name, known, n=3)
    hint = f": did you mean {_or(near)}?" if near else "."
    return ConfigError(
        f"No hardware is known as {name!r}{hint}",
        why=f"{len(known)} cards and chips are known" + ("" if near else f": {', '.join(known)}"),
        fix=f"write it as in {_EXAMPLES}; or name a TOML file that describes the machine",
    )


def _size_unclear(name: str, known: Sequence[Card]) -> ConfigError:
    sizes = sorted({round(size / GIB) for card in known for size in card.memory_sizes})
    return ConfigError(
        f"{name!r} does not say which memory is meant, or one that does not exist.",
        why=f"{known[0].title} comes with {_or([str(size) for size in sizes])} GB",
        fix=f"write {_or([f'{known[0].alias}-{size}' for size in sizes])}; "
        "or name a TOML file that describes the machine",
    )


def _contradiction(text: str) -> ConfigError:
    return ConfigError(
        f"{text!r} is no machine.",
        why="the host's memory is said twice, or beside a chip whose memory it is",
        fix=f"write it as in {_EXAMPLES}; or name a TOML file that describes the machine",
    )


def _or(words: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
