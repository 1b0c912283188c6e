"""Tells whether the disk has room for a pull, and what could go if it has not. Removes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from localllm.catalog.profile import Profile
from localllm.errors import NoSpace
from localllm.store.inventory import OnDisk, printable, read_inventory
from localllm.store.job import PullJob
from localllm.store.leftovers import KEPT_FOR_S, Leftover, read_leftovers
from localllm.store.places import hub_cache
from localllm.store.revisions import cached_repository
from localllm.store.shared_cache import CachedRepository
from localllm.store.wanted_files import lacking_blobs
from localllm.transfer.disk import allocated_bytes, lacking_bytes
from localllm.transfer.part import QUARANTINED_ENDING
from localllm.units import duration, size

_NAMED = 5
Catalog = Callable[[], Sequence[Profile]]
"""Reads it; asked only where there is no room."""


def require_room(
    job: PullJob, environment: Mapping[str, str], data: Path, catalog: Catalog
) -> None:
    """Refuse a pull that its disk has no room for, and say what could be removed.

    Args:
        data: See `Paths`.

    Raises:
        NoSpace: Nothing has been written yet.
    """
    cached = cached_repository(hub_cache(environment), job.repo)
    blobs = lacking_blobs(job, cached)
    needed = sum(blobs.values())
    spare = sum(allocated_bytes(one) for one in quarantined(blobs))
    lacking = lacking_bytes(_nearest(cached.blobs), needed) - spare if blobs else 0
    if lacking <= 0:
        return
    models = read_inventory(catalog(), data, environment)
    raise NoSpace(
        f"There is no room for {printable(job.repo)}.",
        why=f"{printable(str(cached.cache))} has {size(lacking)} too little for the {size(needed)} "
        "to come",
        fix=_what_may_go(lacking, job, cached, models),
    )


def is_short(job: PullJob, cached: CachedRepository) -> bool:
    """Tell whether there is room only once what the job has in quarantine is gone."""
    blobs = lacking_blobs(job, cached)
    return bool(blobs) and lacking_bytes(_nearest(cached.blobs), sum(blobs.values())) > 0


def quarantined(blobs: Iterable[Path]) -> Sequence[Path]:
    """List what has come of these contents and was wrong: it goes where it is in the way."""
    return [blob.with_name(blob.name + QUARANTINED_ENDING) for blob in blobs]


def _what_may_go(
    lacking: int, job: PullJob, cached: CachedRepository, models: Sequence[OnDisk]
) -> str:
    """Name what makes the room, what nobody misses first; or say that nothing does."""
    swept = sum(one.size_bytes for one in _swept(job, cached, time.time()))
    going: list[OnDisk] = []
    for model in _unused(job, models):
        if swept + sum(one.size_bytes for one in going) >= lacking:
            break
        going.append(model)
    if swept + sum(one.size_bytes for one in going) < lacking:
        return (
            "no removal here makes room enough: free some space by other means, or let "
            "HF_HUB_CACHE name another disk"
        )
    steps = [f"localllm gc (frees {size(swept)})"] if swept else []
    steps += [_removal(model) for model in going[:_NAMED]]
    more = len(going) - _NAMED
    return ", ".join(steps) + (f", and {more} more that `localllm ls` shows" if more > 0 else "")


def _swept(job: PullJob, cached: CachedRepository, now: float) -> Iterator[Leftover]:
    """What `gc` removes; not what the job itself has of its files, which is counted as here."""
    ours = {file.etag for file in job.files}
    for one in read_leftovers(cached.cache, now):
        is_own = one.repository == cached and one.etag in ours
        may_go = not one.is_resumable or now - one.changed >= KEPT_FOR_S
        if may_go and not one.in_use and not is_own:
            yield one


def _unused(job: PullJob, models: Sequence[OnDisk]) -> Sequence[OnDisk]:
    """Those in the shared cache that are not the job's own, the longest unused first."""
    ours = {file.etag for file in job.files}
    others = [m for m in models if m.where == "huggingface" and not ours & {*m.weights}]
    return sorted(others, key=lambda model: model.last_used or 0.0)


def _removal(model: OnDisk) -> str:
    unused = ""
    if model.last_used is not None and model.is_use_noted:
        unused = f", not used for {duration(max(0.0, time.time() - model.last_used))}"
    return f"localllm rm {model.name} (frees {size(model.size_bytes)}{unused})"


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that is there."""
    return next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
