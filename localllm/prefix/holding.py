"""Which slot of an engine a request goes to, and what is lost by that. Pure.

A slot holds what the last request there has left in the engine's cache. Who goes on with it reads
next to nothing; who begins something else there pushes it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localllm.prefix.outline import BLOCK_BYTES, BYTES_PER_TOKEN, Outline
from localllm.prefix.prompt import Prompt

WORTH_TOKENS = 512
"""What is shorter is read again in no time, and is never kept for later."""

_AGAIN = 2
"""What is lost counts twice: somebody waits for it a second time."""

_SAME_AGAIN = 1
"""What a conversation loses of its own: it has gone on another way, after a summary of itself."""

_FROM_DISK = 0.1
"""What putting back costs, beside reading it anew; measured were 0.001 to 0.01 on fast disks."""

_HALF_AFTER_S = 600.0
"""What was not used for so long is worth half of what was used just now."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one slot holds. Replaced, never mutated."""

    slot: int
    outline: Outline | None = None
    """None: nothing, as far as we know."""

    tokens: int = 0
    """As the engine has counted them."""

    used_at: float = 0.0
    is_busy: bool = False
    is_saved: bool = True
    """What it holds is on disk as well, is not worth it, or could not be saved."""

    conversation: str | None = None
    """As its client names it."""

    prompt: Prompt | None = None
    """The request itself, where it is what is kept."""

    @property
    def is_worth_keeping(self) -> bool:
        """Whether somebody would wait for it: by its answer alone nothing is found again on disk."""
        if self.outline is None or self.outline.size_bytes < WORTH_TOKENS * BYTES_PER_TOKEN:
            return False
        return self.tokens >= WORTH_TOKENS


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes."""

    slot: int
    common_tokens: int
    """About so many tokens of the prompt are there."""

    pushes_out: Holding | None
    """What is lost there, as a whole or in part, if it is worth something; it may be saved already."""


def choose_slot(
    holdings: Sequence[Holding],
    wanted: Outline,
    *,
    on_disk_bytes: int = 0,
    conversation: str | None = None,
) -> Place | None:
    """Choose the slot where the least has to be read: now, and again by who comes back to what is lost.

    A title's request that begins as the conversation does thus goes elsewhere, unless next to
    nothing of the conversation is lost to it, or reading what both begin with costs more than that.

    Args:
        on_disk_bytes: So much of the prompt can be put into any slot from disk.
        conversation: Which one it belongs to, where its client tells.

    Returns:
        None where all are busy.
    """
    free = [one for one in holdings if not one.is_busy]
    if not free:
        return None
    now = max(one.used_at for one in holdings)

    def cost(one: Holding) -> tuple[float, bool, float]:
        read_bytes = _bytes_to_read(wanted, common(one, wanted), on_disk_bytes)
        times = _SAME_AGAIN if _goes_on(one, wanted, conversation) else _AGAIN
        lost = times * _faded(one, _lost_tokens(one, wanted), now)
        return read_bytes / BYTES_PER_TOKEN + lost, not one.is_saved, one.used_at

    best = min(free, key=cost)
    lost = best if _lost_tokens(best, wanted) > 0 else None
    return Place(best.slot, common(best, wanted) // BYTES_PER_TOKEN, lost)


def find_shared(holdings: Sequence[Holding], wanted: Outline) -> Holding | None:
    """Find who has the start of a prompt that goes on otherwise, and is not on disk yet.

    Another slot can have it from there alone.
    """
    sharing = [
        one
        for one in holdings
        if one.is_worth_keeping
        and not (one.is_saved or one.is_busy or is_beginning_of(one, wanted))
        and common(one, wanted) >= WORTH_TOKENS * BYTES_PER_TOKEN
    ]
    return max(sharing, key=lambda one: common(one, wanted), default=None)


def common(holding: Holding, wanted: Outline) -> int:
    """How many bytes of a prompt a slot holds."""
    return 0 if holding.outline is None else holding.outline.common_bytes(wanted)


def is_beginning_of(holding: Holding, wanted: Outline) -> bool:
    """Whether a prompt begins with all that a slot holds: whatever comes of it, that stays there."""
    return holding.is_worth_keeping and _lost_tokens(holding, wanted) == 0


def _goes_on(holding: Holding, wanted: Outline, conversation: str | None) -> bool:
    """Whether a slot's own conversation has another past now; titles and sub-agents begin otherwise."""
    same = conversation is not None and holding.conversation == conversation
    return same and common(holding, wanted) >= WORTH_TOKENS * BYTES_PER_TOKEN


def _bytes_to_read(wanted: Outline, common_bytes: int, on_disk_bytes: int) -> float:
    """What is not there, or not after it was put back, whichever is less."""
    put_back = wanted.size_bytes - on_disk_bytes * (1 - _FROM_DISK)
    return min(wanted.size_bytes - common_bytes, put_back)


def _lost_tokens(holding: Holding, wanted: Outline) -> float:
    """What of a slot is lost to a prompt; a last block that is not whole is nothing."""
    if holding.outline is None or not holding.is_worth_keeping:
        return 0.0
    size_bytes = holding.outline.size_bytes
    lost_bytes = size_bytes - holding.outline.common_bytes(wanted)
    return holding.tokens * lost_bytes / size_bytes if lost_bytes >= BLOCK_BYTES else 0.0


def _faded(holding: Holding, tokens: float, now: float) -> float:
    """What nobody has come back to for long is worth less: else it would hold its slot for ever."""
    return tokens / (1 + (now - holding.used_at) / _HALF_AFTER_S)
