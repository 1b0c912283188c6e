"""Brings a model's files into the cache that all programs share: each whole and right, or not there.

Killed at any moment it loses nothing, and the next attempt goes on where this one was. One of a
file at a time, whoever asks: huggingface_hub's own lock is held meanwhile.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import filelock

from localllm.errors import LocalLLMError
from localllm.store import hub_errors
from localllm.store.access import HubAccess, endpoint_of, file_url, host_of, hub_access
from localllm.store.header_cache import HeaderCache, key_of_head
from localllm.store.job import FileState, PullJob
from localllm.store.names import shown
from localllm.store.places import hub_cache
from localllm.store.pull_watch import PullWatch, Tell, elsewhere_bytes
from localllm.store.readiness import check, make_ready
from localllm.store.repository import RepositoryFile
from localllm.store.revisions import cached_repository
from localllm.store.shared_cache import CachedRepository
from localllm.store.wanted_files import digest_of, is_whole, lacking_files
from localllm.transfer.digests import Digest
from localllm.transfer.disk import DiskFailed, while_writing
from localllm.transfer.download import download
from localllm.transfer.failures import Refused
from localllm.transfer.manner import Manner
from localllm.transfer.pace import Pace
from localllm.transfer.part import QUARANTINED_ENDING, here_bytes
from localllm.transfer.session import Session, outside
from localllm.transfer.wanted import Wanted

_SMALL_BYTES = 4 << 20
_SMALL_AT_ONCE = 4
_LOOK_EVERY_S = 0.25
_ROUNDS = 3
_SHARED_LOCK_MODE = 0o664
"""Source: huggingface_hub, utils/_fixes.py: others of a group may wait for it, too."""

_FREE_SOME = "localllm gc, or localllm rm MODEL; `localllm ls` shows what is there"


async def pull(
    job: PullJob,
    environment: Mapping[str, str],
    tell: Tell,
    *,
    pace: Pace,
    connections: int,
    kept: HeaderCache | None = None,
) -> Path:
    """Bring all files of a job; return the folder of its commit.

    Args:
        tell: Called with how far it is, often.
        pace: May be changed meanwhile.
        connections: To the server, of one file.
        kept: The first bytes of files that were planned with, which need not come again.

    Raises:
        NoNetwork: The hub is out of reach, or refuses; AccessRefused where it has it for others.
        ModelNotFound: It no longer has one of the files.
        WrongContent: What it sends is not what it says it should be, twice.
        NoSpace: The disk is too full; known before the first byte, mostly.
        DiskFailed: The cache cannot be written to for another reason, or somebody removes what comes.
    """
    cached = cached_repository(hub_cache(environment), job.repo)
    with while_writing(job.repo, cached.folder):
        check(job, cached, endpoint_of(environment))
        await anyio.to_thread.run_sync(make_ready, job, cached, environment)
        access, watch = hub_access(environment), PullWatch(job, tell)
        async with outside(environment) as session:
            manner = Manner(connections, pace)
            await _Pulling(job, cached, access, session, watch, manner, kept).run()
        if job.ref is not None:
            await anyio.to_thread.run_sync(cached.write_ref, job.ref, job.commit)
    return cached.snapshot(job.commit)


@dataclass(frozen=True, slots=True)
class _Pulling:
    """One job, being done."""

    job: PullJob
    cached: CachedRepository
    access: HubAccess
    session: Session
    watch: PullWatch
    manner: Manner
    kept: HeaderCache | None

    async def run(self) -> None:
        """Bring what is lacking, until nothing is.

        Who removes models cannot know of a file that is here already, while another one comes.
        """
        for _ in range(_ROUNDS):
            lacking = await self._lacking()
            if not lacking:
                return
            await self._bring_all(lacking)
        if lacking := await self._lacking():
            raise _removed(self.job, lacking[0])

    async def _lacking(self) -> Sequence[RepositoryFile]:
        lacking = await anyio.to_thread.run_sync(lacking_files, self.job, self.cached)
        for file in self.job.files:
            if file not in lacking:
                self.watch.done(file)
        return lacking

    async def _bring_all(self, files: Sequence[RepositoryFile]) -> None:
        """Bring the small files some at once, the large ones one after the other."""
        small = [file for file in files if file.size_bytes < _SMALL_BYTES]
        large = [file for file in files if file.size_bytes >= _SMALL_BYTES]
        for start in range(0, len(small), _SMALL_AT_ONCE):
            await self._bring_together(small[start : start + _SMALL_AT_ONCE])
        for file in large:
            await self._bring(file)

    async def _bring_together(self, files: Sequence[RepositoryFile]) -> None:
        failures: list[LocalLLMError | OSError] = []

        async def bring(file: RepositoryFile) -> None:
            try:
                await self._bring(file)
            except (LocalLLMError, OSError) as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for file in files:
                tasks.start_soon(bring, file)
        if failures:
            raise failures[0]

    async def _bring(self, file: RepositoryFile) -> None:
        digest = digest_of(file)
        blob = self.cached.blob(digest.hex)
        async with self._alone(file, blob):  # nobody removes it before it has a link
            if not is_whole(blob, file):
                _set_aside(blob)
                await self._fetch(file, digest, blob)
            self.cached.link(self.job.commit, file.path, digest.hex)
        self.watch.done(file)

    async def _fetch(self, file: RepositoryFile, digest: Digest, blob: Path) -> None:
        def tell(here: int) -> None:
            state = FileState.CHECKING if here >= file.size_bytes else FileState.FETCHING
            self.watch.moved(file, state, here)

        self.watch.moved(file, FileState.FETCHING, here_bytes(blob, file.size_bytes))
        url = file_url(self.access.endpoint, self.job.repo, self.job.commit, file.path)
        wanted = Wanted(url, digest, file.size_bytes, self.access.headers)
        head = await anyio.to_thread.run_sync(self._head, file)
        manner = replace(
            self.manner, tell=tell, note=self.watch.noted, head=head, if_full=_FREE_SOME
        )
        try:
            await download(self.session, wanted, blob, manner)
        except Refused as error:
            raise _in_words_of_the_hub(error, self.job, file, self.access.endpoint) from error

    def _head(self, file: RepositoryFile) -> bytes:
        if self.kept is None:
            return b""
        host = host_of(self.access.endpoint)
        return self.kept.read_head(key_of_head(host, self.job.repo, self.job.commit, file))

    @asynccontextmanager
    async def _alone(self, file: RepositoryFile, blob: Path) -> AsyncGenerator[None]:
        """Hold the lock of a blob; while another program does, show what that one has."""
        place = self.cached.lock(blob.name)
        await anyio.to_thread.run_sync(lambda: place.parent.mkdir(parents=True, exist_ok=True))
        lock: filelock.BaseFileLock = filelock.FileLock(
            place, mode=_SHARED_LOCK_MODE, thread_local=False
        )
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                here = await anyio.to_thread.run_sync(elsewhere_bytes, blob, file.size_bytes)
                self.watch.moved(file, FileState.ELSEWHERE, here)
                await anyio.sleep(_LOOK_EVERY_S)
            except (
                NotImplementedError
            ):  # a file system without locks; huggingface_hub does the same
                lock = filelock.SoftFileLock(place, thread_local=False)
        try:
            yield
        finally:
            lock.release()


def _set_aside(blob: Path) -> None:
    """Take what is not whole out of the way, though it has the name of what is."""
    with suppress(FileNotFoundError):
        blob.replace(blob.with_name(blob.name + QUARANTINED_ENDING))


def _removed(job: PullJob, file: RepositoryFile) -> DiskFailed:
    return DiskFailed(
        f"{shown(file.path)} of {job.repo} was here, and is gone again.",
        why=f"somebody removes it while it is being fetched: it came {_ROUNDS} times",
        fix="see which other program clears the cache, let it end, and try again",
    )


def _in_words_of_the_hub(
    error: Refused, job: PullJob, file: RepositoryFile, endpoint: str
) -> LocalLLMError:
    """Say what a refusal means, and what to click."""
    match error.code_of_hub:
        case "GatedRepo":
            return hub_errors.gated(job.repo, endpoint)
        case "RepoNotFound":
            return hub_errors.not_there(job.repo, endpoint)
        case "RevisionNotFound":
            return hub_errors.no_revision(job.repo, job.commit)
        case "EntryNotFound":
            return hub_errors.no_file(job.repo, file.path)
        case _:
            asked = hub_errors.Asked(endpoint, job.repo, job.commit, file.path)
            return hub_errors.refused(asked, error.status, error.why)
