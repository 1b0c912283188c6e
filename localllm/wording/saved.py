"""What prompts that were kept warm have spared. Pure."""

from __future__ import annotations

from localllm.api.status_views import SavedView
from localllm.units import duration

_MILLION = 1_000_000


def what_was_saved(saved: SavedView) -> tuple[str, ...]:
    """Say what was spared today, and then more of it; nothing where nothing was."""
    if not saved.tokens:
        return ()
    if saved.seconds is None:
        return "prompts kept warm", f"{_were(saved.tokens)} not read again today (UTC)"
    spared = duration(saved.seconds) if saved.seconds >= 1 else "less than a second"
    return f"prompts kept warm saved {spared} today (UTC)", f"{_were(saved.tokens)} not read again"


def _were(tokens: int) -> str:
    if tokens >= _MILLION:
        return f"{tokens / _MILLION:.1f} million tokens were"
    return f"{tokens:,} tokens were" if tokens > 1 else "1 token was"
