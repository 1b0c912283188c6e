"""Figures of a plan as they are drawn: memory as a bar, speeds with where they are from, verdicts. Pure.

Colour only repeats what a word or a block says already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import set_cell_size
from rich.text import Text

from localllm.api.views import CandidateView, DeviceView, MemoryView, PlacementView
from localllm.tui.words import DASH, plain, size_of

Tones = Mapping[str, str]
"""Colours by what they mean: primary, secondary, warning, success, error. May lack any."""

PIECES = (("█", "primary", "weights"), ("▓", "secondary", "KV cache"), ("▒", "warning", "buffers"))
FREE, TOO_BIG = "·", "!"
_CPU = "cpu"
_VERDICTS = {
    "fits": ("fits", "success"),
    "fits_partly": ("fits partly", "warning"),
    "too_big": ("too big", "error"),
}
_NAMES = ("primary", "secondary", "warning", "success", "error")


@dataclass(frozen=True, slots=True)
class Takes:
    """What a plan takes of the devices that the model runs on, all as one."""

    weights_bytes: int
    cache_bytes: int
    """KV cache, recurrent state, and what is kept of earlier places of a prompt."""

    other_bytes: int
    usable_bytes: int
    """That may be used of these devices; 0 where nobody tells."""

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.other_bytes


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of one answer."""

    tps: float
    is_measured: bool
    low: float | None = None
    """Where a measurement is expected; None once there is one."""

    high: float | None = None


def tones_of(variables: Mapping[str, str]) -> Tones:
    """Take the colours of a theme that a terminal can show as they are."""
    return {name: variables[name] for name in _NAMES if variables.get(name, "").startswith("#")}


def takes_of(candidate: CandidateView, devices: Sequence[DeviceView]) -> Takes | None:
    """Sum what it takes of the accelerators, or of the host where it runs on none."""
    parts = used(candidate)
    if not parts:
        return None
    usable = {device.id: device.memory_usable or 0 for device in devices}
    weights = sum(part.memory.weights for part in parts)
    cache = sum(_kept(part.memory) for part in parts)
    total = sum(part.memory.total for part in parts)
    room = sum(usable.get(part.device, 0) for part in parts)
    return Takes(weights, cache, total - weights - cache, room)


def used(candidate: CandidateView) -> Sequence[PlacementView]:
    """The accelerators; without any, the host."""
    return [p for p in candidate.placement if p.device != _CPU] or candidate.placement


def beside_bytes(candidate: CandidateView) -> int | None:
    """What it takes of the host beside accelerators; None where it is on one of both alone."""
    parts = [p for p in candidate.placement if p not in used(candidate)]
    return sum(part.bytes for part in parts) if parts else None


def speed_of_plan(candidate: CandidateView) -> Speed | None:
    """Read what a plan says of it."""
    told = candidate.speed
    if told.decode_tps is None:
        return None
    spread = told.decode_range
    low, high = (None, None) if spread is None else (spread.low, spread.high)
    return Speed(told.decode_tps, told.source == "measured", low, high)


def bar(takes: Takes | None, width: int, tones: Tones) -> Text:
    """Draw what is taken of what may be; what does not fit ends in a mark instead of a free part."""
    text = Text(no_wrap=True, end="")
    if takes is None:
        return text.append(DASH.ljust(width))
    filled, so_far = 0, 0
    sizes = (takes.weights_bytes, takes.cache_bytes, takes.other_bytes)
    room = width - (takes.total_bytes > takes.usable_bytes)
    for (block, tone, _), count in zip(PIECES, sizes, strict=True):
        so_far += count
        end = min(room, round(width * so_far / takes.usable_bytes)) if takes.usable_bytes else 0
        text.append(block * (end - filled), tones.get(tone, ""))
        filled = end
    if room < width:
        return text.append(TOO_BIG, f"bold {tones.get('error', '')}".strip()).append(
            " " * (room - filled)
        )
    return text.append(FREE * (width - filled))


def legend(tones: Tones) -> Text:
    """Say what the pieces of a bar mean."""
    text = Text(no_wrap=True, end="")
    for block, tone, label in PIECES:
        text.append(block, tones.get(tone, "")).append(f" {label}  ")
    return text.append(f"{FREE} free  {TOO_BIG} too big")


def verdict(word: str | None, tones: Tones) -> Text:
    """Render a verdict in its colour."""
    said, tone = _VERDICTS.get(word or "", ("unknown", ""))
    return Text(said, tones.get(tone, ""), no_wrap=True, end="")


def verdict_word(word: str | None) -> str:
    """Render it without."""
    return _VERDICTS.get(word or "", ("unknown", ""))[0]


def context_of(tokens: int | None) -> str:
    """Render a number of tokens."""
    return DASH if tokens is None else str(tokens)


def short_speed(speed: Speed | None) -> str:
    """Render it in 7 columns: a predicted one is only about right."""
    if speed is None:
        return DASH
    return f"{'' if speed.is_measured else '~'}{speed.tps:.0f}"


def speed_with_source(speed: Speed | None) -> str:
    """Render it, and where it is from.

    >>> speed_with_source(Speed(220.2, is_measured=False))
    '220 predicted'
    """
    if speed is None:
        return DASH
    return f"{speed.tps:.0f} {'measured' if speed.is_measured else 'predicted'}"


def speed_in_full(speed: Speed | None) -> str:
    """Render it with its range, for a sentence."""
    if speed is None:
        return "how fast it is, its first start will show"
    said = f"{speed.tps:.0f} tok/s {'measured' if speed.is_measured else 'predicted'}"
    if speed.low is None or speed.high is None:
        return said
    return f"{said} ({speed.low:.0f} to {speed.high:.0f})"


def takes_in_words(takes: Takes | None, takes_bytes: int | None) -> str:
    """Render what it takes of what there is."""
    if takes is None:
        return f"{size_of(takes_bytes)} of memory" if takes_bytes else "memory unknown"
    return f"{size_of(takes.total_bytes)} of {size_of(takes.usable_bytes)}"


def size_exactly(count: int | None) -> str:
    """Render bytes for a sentence, the exact count beside what people read."""
    return "an unknown number of bytes" if count is None else f"{size_of(count)} ({count:,} bytes)"


def fitted(text: str, width: int) -> str:
    """Make text harmless, and exactly so many columns wide."""
    said = plain(text)
    cut = set_cell_size(said, width)
    return cut if cut.rstrip() == said.rstrip() else f"{set_cell_size(said, width - 1)}…"


def _kept(memory: MemoryView) -> int:
    return memory.kv_cache + memory.recurrent_state + memory.checkpoints
