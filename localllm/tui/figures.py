"""Figures of a plan as they are drawn: memory as a bar, speeds with where they are from, verdicts. Pure.

Colour only repeats what a word or a block says already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import set_cell_size
from rich.text import Text

from localllm.api.views import CandidateView
from localllm.tui.widgets.bar import FREE, KINDS
from localllm.wording.figures import DASH, size_of
from localllm.wording.plain import plain
from localllm.wording.plans import verdict_of
from localllm.wording.takes import Takes, shares_of

Tones = Mapping[str, str]
"""Colours by what they mean, named as in themes: primary, secondary, error, ... May lack any."""

PIECES = tuple((kind.block, kind.style.removeprefix("$"), kind.label) for kind in KINDS[:3])
"""Weights, KV cache and buffers: as the bars of devices have them."""

TOO_BIG = "!"
_VERDICTS = {"fits": "success", "fits_partly": "warning", "too_big": "error"}
_NAMES = ("primary", "secondary", "accent", "warning", "success", "error")


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
    shares = shares_of(takes, width)
    counts = (shares.weights, shares.cache, shares.other)
    for (block, tone, _), count in zip(PIECES, counts, strict=True):
        text.append(block * count, tones.get(tone, ""))
    if shares.is_too_big:
        text.append(TOO_BIG, f"bold {tones.get('error', '')}".strip())
    return text.append(FREE.block * shares.free + " " * shares.blank)


def legend(tones: Tones) -> Text:
    """Say what the pieces of a bar mean."""
    text = Text(no_wrap=True, end="")
    for block, tone, label in PIECES:
        text.append(block, tones.get(tone, "")).append(f" {label}  ")
    return text.append(f"{FREE.block} {FREE.label}  {TOO_BIG} too big")


def verdict(word: str | None, tones: Tones) -> Text:
    """Render a verdict in its colour."""
    tone = _VERDICTS.get(word or "", "")
    return Text(verdict_of(word), tones.get(tone, ""), no_wrap=True, end="")


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
