"""What a person is told of prompts that stay warm: how they are kept, and what that has spared them."""

from __future__ import annotations

from localllm.api.status_views import SavedView
from localllm.api.views import CandidateView, PromptsView
from localllm.cli.tables import duration, size

_MILLION = 1_000_000


def how_kept(prompts: PromptsView) -> str:
    """Say where prompts are once their engine has ended, and why not in a better place."""
    match prompts.kept:
        case "saved":
            return "kept on disk"
        case "replayed":
            return f"read again in idle time, since {prompts.why}"
        case "not":
            return f"kept in memory alone, since {prompts.why}"


def set_aside(candidate: CandidateView) -> str | None:
    """Say how its prompts are kept, and how much memory earlier ones may take; None without either."""
    said = [] if candidate.prompts is None else [how_kept(candidate.prompts)]
    spare = 0 if candidate.memory is None else candidate.memory.host_cache
    if spare:
        said.append(f"{size(spare)} of memory are set aside for earlier ones")
    return f"prompts: {'; '.join(said)}" if said else None


def what_was_saved(saved: SavedView) -> str | None:
    """Say what was spared today; None where nothing was."""
    if not saved.tokens:
        return None
    if saved.seconds is None:
        return f"prompts kept warm: {_were(saved.tokens)} not read again today (UTC)"
    spared = duration(saved.seconds) if saved.seconds >= 1 else "less than a second"
    return f"prompts kept warm saved {spared} today (UTC): {_were(saved.tokens)} not read again"


def _were(tokens: int) -> str:
    if tokens >= _MILLION:
        return f"{tokens / _MILLION:.1f} million tokens were"
    return f"{tokens:,} tokens were" if tokens > 1 else "1 token was"
