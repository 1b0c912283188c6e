"""Where memory and disk end it: four agents of one size, and room for less and less of them.

Memory is what llama.cpp keeps of earlier prompts beside its slots; all rows but the first are without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from bench_prefix_place import Place
from bench_prefix_talks import AT_MOST_TOKENS, WARM, Row, Talks

AGENTS = 4
SCALE, LEAST_SCALE = 0.5, 0.06
"""Of the other rows' prompts, for time's sake; and just over what is worth keeping."""

HALF = 0.5
"""Of a saved prompt, as room for what each turn adds."""

NO_DISK = "max_gib = 0"
_GIB = 1 << 30


def measure_limits(
    place: Place, scale: float, saved_prompts: Sequence[int], *, is_brief: bool = False
) -> Iterator[Row]:
    """Have four agents take turns on two slots, with less and less room; then with other limits.

    Args:
        is_brief: What has no target is asked once, and prompts are taken to be as long as the first.
    """
    scale = max(scale * SCALE, LEAST_SCALE)
    place.restart("")
    longest = _begin(Talks(place, scale), 1 if is_brief else AGENTS)
    place.settle()
    each_bytes = max((one.stat().st_size for one in place.saved()), default=0)
    place.restart(NO_DISK)
    rounds = 1 if is_brief else 2
    name = "4 agents, 2 slots, memory, no disk"
    yield _turns(place, scale, name, target="", rounds=rounds)
    place.keep_none_in_memory()
    for count in saved_prompts:
        room = f"max_gib = {room_bytes(count, each_bytes) / _GIB:.6f}"
        place.restart(room)
        target = WARM if count >= AGENTS else ""
        name = f"4 agents, 2 slots, disk for {count}"
        yield _turns(place, scale, name, target=target, rounds=2 if target else rounds)
    four = _serving(place, longest * (AGENTS + 1), slots=AGENTS, prefix=NO_DISK)
    yield _turns(four, scale, "4 agents, 4 slots, no disk", target=WARM)
    tight = _serving(place, longest * 3 // 2, slots=2, prefix="")
    name = "2 agents, 2 slots, context for one and a half"
    yield _turns(tight, scale, name, agents=2, target=WARM)


def _serving(place: Place, context: int, *, slots: int, prefix: str) -> Place:
    """Serve anew, with another context and number of slots."""
    words = ("--context", str(context), "--parallel", str(slots))
    place = replace(place, words=words)
    place.restart(prefix)
    return place


def room_bytes(saved_prompts: int, each_bytes: int) -> float:
    """Room for so many, also when they have grown by some turns, and for no more."""
    return (saved_prompts + HALF) * each_bytes if saved_prompts else 0


def _turns(
    place: Place, scale: float, name: str, *, target: str, agents: int = AGENTS, rounds: int = 2
) -> Row:
    """Tell the mean of what a turn reads again, in the last of some rounds.

    Args:
        rounds: In the first one they come to where they are left in each.
    """
    talks = Talks(place, scale)
    _begin(talks, agents)
    for _ in range(rounds - 1):
        for who in range(agents):
            talks.go_on(str(who), name)
    return mean(name, [talks.go_on(str(who), name) for who in range(agents)], target)


def _begin(talks: Talks, agents: int) -> int:
    """Ask each agent's first turn; return the longest prompt's tokens."""
    rows = [talks.begin(str(who), "claude-code") for who in range(agents)]
    return max(row.prompt_tokens or 0 for row in rows)


def mean(name: str, rows: Sequence[Row], target: str) -> Row:
    """Several turns in one row; met, if each of them is."""
    answered = [row for row in rows if row.beyond_tokens is not None]
    if not answered:
        return replace(rows[0], name=name)
    again = sum((row.beyond_tokens or 0) > AT_MOST_TOKENS for row in answered)
    refused = len(rows) - len(answered)
    note = f"the mean of {len(rows)} turns, {again} were read again"
    met = not refused and all(row.met for row in answered)
    return Row(
        name,
        rows[0].agent,
        round(fmean(row.prompt_tokens or 0 for row in answered)),
        round(fmean(row.cached_tokens or 0 for row in answered)),
        round(fmean(row.beyond_tokens or 0 for row in answered)),
        first_s=fmean(row.first_s or 0.0 for row in answered),
        ratio=fmean(row.ratio or 0.0 for row in answered),
        target=target,
        met=met if target else None,
        note=note + f", {refused} were not answered" * bool(refused),
    )
