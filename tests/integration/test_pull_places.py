"""Where a pull writes, and that it knows before the first byte whether it may: never out of the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from localllm.errors import LocalLLMError, ModelNotFound
from localllm.store import shared_cache
from localllm.store.job import FileState, PullJob, PullProgress
from localllm.store.shared_cache import CachedRepository
from localllm.transfer.disk import DiskFailed
from tests.fakes.hub import FakeHub, FakeRepository, serving
from tests.integration.a_pull import COMMIT, MIB, Puller, a_job, some_bytes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
REPO, FILE, SECOND = "me/model", "model-Q4_K_M.gguf", "second-Q8_0.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    (tmp_path / "hub").mkdir()
    with serving(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def repository(hub: FakeHub) -> FakeRepository:
    repository = hub.add(REPO)
    repository.put(FILE, some_bytes(5 * MIB))
    return repository


@pytest.fixture
def me(tmp_path: Path, hub: FakeHub) -> Puller:
    return Puller(tmp_path / "home", hub.url)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (place := tmp_path / "elsewhere").mkdir()
    return place


async def refusal(me: Puller, job: PullJob) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        await me.pull(job)
    return caught.value


def a_place(me: Puller, name: str) -> Path:
    cached = CachedRepository(me.cache, REPO)
    lock = cached.lock("any").parent
    places = {
        "repository": cached.folder,
        "blobs": cached.blobs,
        "snapshots": cached.folder / "snapshots",
        "commit": cached.folder / "snapshots" / COMMIT,
        "refs": cached.folder / "refs",
        "locks": lock,
        "all locks": lock.parent,
    }
    return places[name]


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize(
    "name", ["repository", "blobs", "snapshots", "commit", "refs", "locks", "all locks"]
)
async def test_a_folder_that_is_a_link_out_of_the_cache_is_refused_and_nothing_written(
    hub: FakeHub,
    repository: FakeRepository,
    me: Puller,
    elsewhere: Path,
    name: str,
    is_there: bool,
) -> None:
    job = a_job(repository)
    link = Path(str(a_place(me, name)).replace(COMMIT, job.commit))
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere if is_there else elsewhere / "nothing")

    error = await refusal(me, job)

    assert isinstance(error, DiskFailed)
    assert "leads out of the cache" in error.what
    assert "HF_HUB_CACHE" in error.fix
    assert list(elsewhere.iterdir()) == []
    assert hub.log == []


async def test_a_lock_that_is_a_link_out_of_the_cache_is_refused(
    hub: FakeHub, repository: FakeRepository, me: Puller, elsewhere: Path
) -> None:
    job = a_job(repository)
    lock = CachedRepository(me.cache, REPO).lock(str(job.files[0].etag))
    lock.parent.mkdir(parents=True)
    lock.symlink_to(elsewhere / "nothing")

    assert "leads out of the cache" in (await refusal(me, job)).what

    assert list(elsewhere.iterdir()) == []


async def test_the_cache_itself_may_be_a_link_to_a_larger_disk(
    repository: FakeRepository, me: Puller, elsewhere: Path
) -> None:
    me.home.mkdir()
    me.cache.symlink_to(elsewhere)

    snapshot = await me.pull(a_job(repository))

    assert (snapshot / FILE).read_bytes() == some_bytes(5 * MIB)


@pytest.mark.parametrize(("there", "ref"), [("foo", "foo/bar"), ("foo/bar", "foo")])
async def test_a_branch_that_cannot_be_noted_is_known_before_the_first_byte(
    hub: FakeHub, repository: FakeRepository, me: Puller, there: str, ref: str
) -> None:
    CachedRepository(me.cache, REPO).write_ref(there, COMMIT)

    error = await refusal(me, a_job(repository, ref=ref))

    assert isinstance(error, DiskFailed)
    assert "name is in the way" in error.why
    assert hub.log == []


async def test_a_branch_whose_name_leads_out_is_none(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    assert isinstance(await refusal(me, a_job(repository, ref="../x")), ModelNotFound)

    assert hub.log == []
    assert not me.home.exists()


async def test_what_is_whole_is_there_without_a_byte_written(
    hub: FakeHub, repository: FakeRepository, me: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cache that can only be read, say; who runs as root can write into that, too."""
    repository.put("config.json", b"{}")
    job = a_job(repository)
    snapshot = await me.pull(job)
    locks = CachedRepository(me.cache, REPO).lock("any").parent
    for lock in locks.iterdir():
        lock.unlink()
    folders = [me.cache, *(path for path in me.cache.rglob("*") if path.is_dir())]
    before = {path: path.stat().st_mtime_ns for path in folders}
    monkeypatch.setattr(CachedRepository, "make", None)
    monkeypatch.setattr(shared_cache, "token_hex", None)
    me.seen.clear()
    hub.forget()

    assert await me.pull(job) == snapshot

    assert hub.log == []
    assert {path: path.stat().st_mtime_ns for path in folders} == before
    assert {file.state for file in me.seen[-1].files} == {FileState.DONE}


@pytest.mark.parametrize("times", [1, 10])
async def test_a_file_that_somebody_removes_meanwhile_comes_again_but_not_for_ever(
    hub: FakeHub, repository: FakeRepository, me: Puller, times: int
) -> None:
    """Between two files no lock says that the first is needed."""
    repository.put(SECOND, some_bytes(5 * MIB, seed=2))
    job = a_job(repository, FILE, SECOND)
    removed: list[int] = []

    def remove(progress: PullProgress) -> None:
        first, second = progress.files
        blob = me.blobs(job) / str(job.files[0].etag)
        has_come = FileState.DONE in {first.state, second.state}
        if has_come and len(removed) < times and blob.exists():
            removed.append(second.here_bytes)
            blob.unlink()

    me.on_progress = remove
    with anyio.fail_after(30):
        if times == 1:
            snapshot = await me.pull(job)
            assert (snapshot / FILE).read_bytes() == some_bytes(5 * MIB)
            assert hub.sent_of[f"{REPO}/{FILE}"] == 10 * MIB
        else:
            error = await refusal(me, job)
            assert isinstance(error, DiskFailed)
            assert "somebody removes it" in error.why
            assert hub.sent_of[f"{REPO}/{FILE}"] == 15 * MIB
