"""Brings a model's files into the cache that all programs share: each whole and right, or not there.

Killed at any moment it loses nothing, and the next attempt goes on where this one was. One of a
file at a time, whoever asks: huggingface_hub's own lock is held meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import filelock

from localllm.errors import LocalLLMError
from localllm.store import hub_errors
from localllm.store.access import HubAccess, file_url, hub_access, is_offline
from localllm.store.header_cache import HeaderCache, key_of_head
from localllm.store.job import FileProgress, FileState, PullJob, PullProgress
from localllm.store.names import shown
from localllm.store.places import hub_cache
from localllm.store.repository import RepositoryFile, is_commit
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.digests import Digest, Kind
from localllm.transfer.disk import allocated_bytes, require_space, while_writing
from localllm.transfer.download import download
from localllm.transfer.failures import Refused
from localllm.transfer.manner import Manner
from localllm.transfer.pace import Pace
from localllm.transfer.part import QUARANTINED_ENDING, here_bytes, part_of
from localllm.transfer.session import Session, outside
from localllm.transfer.wanted import Wanted

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SMALL_BYTES = 4 << 20
_SMALL_AT_ONCE = 4
_LOOK_EVERY_S = 0.25
_SHARED_LOCK_MODE = 0o664
"""Source: huggingface_hub, utils/_fixes.py: others of a group may wait for it, too."""

_FREE_SOME = "localllm gc, or localllm rm MODEL; `localllm ls` shows what is there"
Tell = Callable[[PullProgress], None]


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
        DiskFailed: The cache cannot be written to for another reason.
    """
    cached = CachedRepository(hub_cache(environment), job.repo)
    with while_writing(job.repo, cached.folder):
        access = hub_access(environment)
        _check(job, access.endpoint)
        await anyio.to_thread.run_sync(_make_ready, job, cached, environment)
        async with outside(environment) as session:
            manner = Manner(connections, pace)
            watch = _Watch(job, tell)
            await _Pulling(job, cached, access, session, watch, manner, kept).run()
        if job.ref is not None:
            await anyio.to_thread.run_sync(cached.write_ref, job.ref, job.commit)
    return cached.snapshot(job.commit)


@dataclass(slots=True)
class _Watch:
    """How far each file is."""

    job: PullJob
    tell: Tell
    _files: dict[str, FileProgress] = field(init=False)
    _note: str | None = None

    def __post_init__(self) -> None:
        self._files = {
            file.path: FileProgress(file.path, file.size_bytes, 0, FileState.WAITING)
            for file in self.job.files
        }

    def moved(self, file: RepositoryFile, state: FileState, here: int) -> None:
        self._files[file.path] = replace(self._files[file.path], here_bytes=here, state=state)
        self._say()

    def noted(self, note: str | None) -> None:
        self._note = note
        self._say()

    def _say(self) -> None:
        self.tell(PullProgress(tuple(self._files.values()), self._note))


@dataclass(frozen=True, slots=True)
class _Pulling:
    """One job, being done."""

    job: PullJob
    cached: CachedRepository
    access: HubAccess
    session: Session
    watch: _Watch
    manner: Manner
    kept: HeaderCache | None

    async def run(self) -> None:
        """Bring the small files some at once, the large ones one after the other."""
        small = [file for file in self.job.files if file.size_bytes < _SMALL_BYTES]
        large = [file for file in self.job.files if file.size_bytes >= _SMALL_BYTES]
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
        digest = _digest_of(file)
        blob = self.cached.blob(digest.hex)
        async with self._alone(file, blob):  # nobody removes it before it has a link
            if not _is_whole(blob, file):
                _set_aside(blob)
                await self._fetch(file, digest, blob)
            self.cached.link(self.job.commit, file.path, digest.hex)
        self.watch.moved(file, FileState.DONE, file.size_bytes)

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
        host = urlsplit(self.access.endpoint).netloc
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
                here = await anyio.to_thread.run_sync(_elsewhere_bytes, blob, file.size_bytes)
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


def _is_whole(blob: Path, file: RepositoryFile) -> bool:
    """Tell whether it is here: huggingface_hub, too, gives a blob its name only when it is whole."""
    try:
        return blob.stat().st_size == file.size_bytes
    except OSError:
        return False


def _set_aside(blob: Path) -> None:
    """Take what is not whole out of the way, though it has the name of what is."""
    with suppress(FileNotFoundError):
        blob.replace(blob.with_name(blob.name + QUARANTINED_ENDING))


def _elsewhere_bytes(blob: Path, size_bytes: int) -> int:
    """Look how much another program has: another of ours, or huggingface_hub, which it loses if cut."""
    here = here_bytes(blob, size_bytes)
    for other in blob.parent.glob(f"{blob.name}.*incomplete"):
        with suppress(OSError):
            here = max(here, min(other.stat().st_size, size_bytes))
    return here


def _check(job: PullJob, endpoint: str) -> None:
    """See whether what the hub listed can name files of ours.

    Raises:
        NoNetwork: It cannot; what answers is no hub.
    """
    if not is_commit(job.commit):
        raise hub_errors.no_hub(endpoint, f"it names no commit of {job.repo}")
    for file in job.files:
        if _HEX.fullmatch(file.etag or "") is None:
            why = f"it does not tell the hash of {shown(file.path)} in {job.repo}"
            raise hub_errors.no_hub(endpoint, why)


def _make_ready(job: PullJob, cached: CachedRepository, environment: Mapping[str, str]) -> None:
    """Refuse what there is no hub or no room for, before the first byte of it; make the folders."""
    lacking = {
        blob: max(0, file.size_bytes - allocated_bytes(part_of(blob)))
        for file in job.files
        if not _is_whole(blob := cached.blob(_digest_of(file).hex), file)
    }
    if lacking and is_offline(environment):
        raise hub_errors.offline(job.repo)
    cached.make()
    if lacking:
        require_space(job.repo, cached.blobs, sum(lacking.values()), _FREE_SOME)


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


def _digest_of(file: RepositoryFile) -> Digest:
    """Take the hash that was listed; `_check` has seen that there is one."""
    if file.sha256 is not None:
        return Digest(Kind.SHA256, file.sha256)
    return Digest(Kind.GIT, file.git_sha1 or "")
