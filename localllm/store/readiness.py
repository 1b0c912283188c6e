"""Sees, before the first byte, whether a pull can come to its end, and makes the folders for it.

Nothing is written through a link that leads out of the cache; that the cache itself is a link, to a
larger disk say, is fine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from localllm.catalog.profile import Profile, read_profiles
from localllm.errors import ConfigError, LocalLLMError
from localllm.paths import bundled_profiles, paths_for
from localllm.store import hub_errors
from localllm.store.access import is_offline
from localllm.store.clearing import Room, leads_out, room_of
from localllm.store.inventory import printable
from localllm.store.job import PullJob
from localllm.store.names import shown
from localllm.store.repository import is_commit
from localllm.store.room import is_short, quarantined, require_room
from localllm.store.shared_cache import CachedRepository
from localllm.store.wanted_files import digest_of, is_done, lacking_blobs
from localllm.transfer.disk import DiskFailed

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check(job: PullJob, cached: CachedRepository, endpoint: str) -> None:
    """See whether what the hub listed can name files of ours.

    Raises:
        NoNetwork: It cannot; what answers is no hub.
        ModelNotFound: Nor can the branch that was asked for.
    """
    if not is_commit(job.commit):
        raise hub_errors.no_hub(endpoint, f"it names no commit of {job.repo}")
    for file in job.files:
        if _HEX.fullmatch(file.etag or "") is None:
            why = f"it does not tell the hash of {shown(file.path)} in {job.repo}"
            raise hub_errors.no_hub(endpoint, why)
        try:
            cached.snapshot(job.commit, file.path)
        except ValueError as error:
            raise hub_errors.no_hub(endpoint, shown(str(error))) from error
    if job.ref is not None:
        try:
            cached.ref(job.ref)
        except ValueError as error:
            raise hub_errors.no_revision(job.repo, shown(job.ref)) from error


def make_ready(job: PullJob, cached: CachedRepository, environment: Mapping[str, str]) -> None:
    """Refuse what there is no hub, no room or no place for; make the folders.

    Nothing where all is here: a cache that can only be read will do then.

    Raises:
        NoNetwork: The hub must not be asked.
        NoSpace: The disk is too full; says what could be removed.
        DiskFailed: A link leads out of the cache, or the branch's name is taken.
    """
    if is_done(job, cached):
        return
    blobs = lacking_blobs(job, cached)
    if blobs and is_offline(environment):
        raise hub_errors.offline(job.repo)
    _require_inside(job, cached)
    if job.ref is not None and cached.means(job.ref) != job.commit:
        _require_ref(job.ref, cached)
    require_room(job, environment, paths_for(environment).data, lambda: _catalog(environment))
    if is_short(job, cached):
        for one in quarantined(blobs):
            one.unlink(missing_ok=True)
    cached.make()


def _require_inside(job: PullJob, cached: CachedRepository) -> None:
    """Refuse to write where a link leads out of the cache."""
    try:
        room = room_of(cached)
        room.check(cached.snapshot(job.commit, file.path) for file in job.files)
        room.check([cached.blob("any")])
        if job.ref is not None:
            room.check([cached.ref(job.ref)])
        locks = [cached.lock(digest_of(file).hex) for file in job.files]
        Room(room.folder.parent).check(locks)
        for lock in locks:
            if lock.is_symlink():
                raise leads_out(lock)
    except LocalLLMError as error:
        raise DiskFailed(
            f"{printable(job.repo)} cannot be fetched into the cache: {error.what}",
            why=error.why,
            fix="put a folder in the place of the link; the cache as a whole may be elsewhere: "
            "set HF_HUB_CACHE",
        ) from error


def _require_ref(ref: str, cached: CachedRepository) -> None:
    """See whether a branch can be noted, which comes last."""
    file = cached.ref(ref)
    above = [one for one in file.parents if cached.folder in one.parents]
    taken = next((one for one in above if os.path.lexists(one) and not one.is_dir()), None)
    if taken is None and file.is_dir():
        taken = file
    if taken is not None:
        raise DiskFailed(
            f"The cache cannot note what {shown(ref)} means in {printable(cached.name)}.",
            why=f"{printable(str(taken))} is of another branch, whose name is in the way",
            fix="remove it, if that branch is no more; or give the commit instead of the branch",
        )
    there = next(one for one in file.parents if one.exists())
    if not os.access(there, os.W_OK):
        raise PermissionError(13, os.strerror(13), str(there))


def _catalog(environment: Mapping[str, str]) -> list[Profile]:
    """What the models here are called; without it they go by their repositories' names."""
    folder: Path = paths_for(environment).config_file.parent
    with suppress(ConfigError):
        return [*read_profiles(bundled_profiles(), folder)]
    return []
