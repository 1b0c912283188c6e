"""Whether the disk has room for what is to be fetched, before anybody is asked about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from localllm.cli.plain import plain

if TYPE_CHECKING:  # heavy
    from localllm.planning.desk import Desk
    from localllm.planning.pull_plans import PullPlan


def require_room(desk: Desk, plan: PullPlan) -> None:
    """Refuse what the cache's disk has no room for; what has come, or was set aside, counts.

    Raises:
        NoSpace: Nothing has been fetched yet.
    """
    from localllm.store.places import hub_cache  # noqa: PLC0415  # only where something is fetched
    from localllm.transfer.disk import require_space  # noqa: PLC0415

    cache = hub_cache(desk.environment)
    needed = plan.size_bytes - _reserved_bytes(plan, cache)
    if needed > 0:
        place = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
        fix = "localllm gc, or localllm rm MODEL; `localllm ls` shows what is there"
        require_space(plain(plan.model), place, needed, fix)


def _reserved_bytes(plan: PullPlan, cache: Path) -> int:
    """What the disk has already given to an earlier pull of the same files."""
    from localllm.store.shared_cache import CachedRepository  # noqa: PLC0415  # likewise
    from localllm.transfer.disk import allocated_bytes  # noqa: PLC0415
    from localllm.transfer.part import part_of  # noqa: PLC0415

    cached = CachedRepository(cache, plan.job.repo)
    return sum(
        min(file.size_bytes, allocated_bytes(part_of(cached.blob(file.etag))))
        for file in plan.job.files
        if file.etag is not None and file.etag.isalnum()
    )
