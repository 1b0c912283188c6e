"""Tells which files of a pull are in the shared cache already, and which are not. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from localllm.store.job import PullJob
from localllm.store.repository import RepositoryFile
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.digests import Digest, Kind
from localllm.transfer.disk import allocated_bytes
from localllm.transfer.part import part_of


def digest_of(file: RepositoryFile) -> Digest:
    """Take the hash that was listed; whoever asks has seen that there is one."""
    if file.sha256 is not None:
        return Digest(Kind.SHA256, file.sha256)
    return Digest(Kind.GIT, file.git_sha1 or "")


def is_whole(blob: Path, file: RepositoryFile) -> bool:
    """Tell whether it is here: huggingface_hub, too, gives a blob its name only when it is whole."""
    try:
        return blob.stat().st_size == file.size_bytes
    except OSError:
        return False


def lacking_files(job: PullJob, cached: CachedRepository) -> Sequence[RepositoryFile]:
    """List those that are not whole, or have no name in the commit."""
    return [file for file in job.files if not _is_here(job, cached, file)]


def lacking_blobs(job: PullJob, cached: CachedRepository) -> Mapping[Path, int]:
    """List the contents that are not whole, and how many bytes more of the disk each takes."""
    blobs = {cached.blob(digest_of(file).hex): file for file in job.files}
    return {
        blob: max(0, file.size_bytes - allocated_bytes(part_of(blob)))
        for blob, file in blobs.items()
        if not is_whole(blob, file)
    }


def is_done(job: PullJob, cached: CachedRepository) -> bool:
    """Tell whether nothing is to be done."""
    is_meant = job.ref is None or cached.means(job.ref) == job.commit
    return is_meant and not lacking_files(job, cached)


def _is_here(job: PullJob, cached: CachedRepository, file: RepositoryFile) -> bool:
    etag = digest_of(file).hex
    return cached.is_linked(job.commit, file.path, etag) and is_whole(cached.blob(etag), file)
