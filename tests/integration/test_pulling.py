"""Pulls from a hub whose connections, addresses and contents go wrong in every way there is."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import anyio
import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir

from localllm.errors import (
    AccessRefused,
    LocalLLMError,
    ModelNotFound,
    NoNetwork,
    NoSpace,
    WrongContent,
)
from localllm.store.job import FileState, PullJob, PullProgress
from localllm.store.repository import RepositoryFile
from localllm.transfer import board, disk, fetching, patience, session
from localllm.transfer.part import here_bytes
from tests.fakes.hub import FakeHub, FakeRepository, Fault, Stage, serving, too_many
from tests.integration.a_pull import COMMIT, MIB, Puller, a_job, some_bytes

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
SIZE = 20 * MIB + 12_345
CONTENT = some_bytes(SIZE)
REPO, FILE = "me/model", "model-Q4_K_M.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    (tmp_path / "hub").mkdir()
    with serving(tmp_path / "hub") as hub:
        yield hub


@pytest.fixture
def repository(hub: FakeHub) -> FakeRepository:
    repository = hub.add(REPO)
    repository.put(FILE, CONTENT)
    return repository


@pytest.fixture
def me(tmp_path: Path, hub: FakeHub) -> Puller:
    return Puller(tmp_path / "home", hub.url)


@pytest.fixture(autouse=True)
def no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_FIRST_S", 0.01)
    monkeypatch.setattr(fetching, "_REST_S", 0.3)
    monkeypatch.setattr(fetching, "_LOOK_AGAIN_S", 0.05)


def sent(hub: FakeHub) -> int:
    return hub.sent_of[f"{REPO}/{FILE}"]


def ranges(hub: FakeHub) -> list[str | None]:
    """Of what the storage was asked for."""
    return [asked.range for asked in hub.log if asked.host == "storage"]


async def idle(hub: FakeHub) -> None:
    """Wait until it has seen that nobody is connected any more."""
    with anyio.fail_after(10):
        while hub.connections:
            await anyio.sleep(0.01)


async def refusal(me: Puller, job: PullJob) -> LocalLLMError:
    with pytest.raises(LocalLLMError) as caught:
        await me.pull(job)
    return caught.value


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


async def test_what_was_pulled_is_found_by_every_tool(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    repository.put("config.json", b'{"a": 1}')
    repository.put("nested/tokenizer.json", b"{}" * 500)
    job = a_job(repository)

    snapshot = await me.pull(job)

    assert (snapshot / FILE).read_bytes() == CONTENT
    for path in repository.paths():
        found = hf_hub_download(REPO, path, cache_dir=me.cache, local_files_only=True)
        assert Path(found) == snapshot / path
    (scanned,) = scan_cache_dir(me.cache).repos
    assert scanned.size_on_disk == job.size_bytes
    assert names(me.blobs(job)) == {file.etag for file in job.files}


async def test_it_comes_over_several_connections_once_and_is_not_asked_for_again(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    await me.pull(a_job(repository))
    assert sent(hub) == SIZE
    assert 2 <= hub.most_connections <= 8
    hub.forget()

    await me.pull(a_job(repository))

    assert hub.log == []


async def test_its_progress_is_told_from_waiting_to_done(
    repository: FakeRepository, me: Puller
) -> None:
    await me.pull(a_job(repository))

    assert me.states(FILE)[0] is FileState.FETCHING
    assert me.states(FILE)[-1] is FileState.DONE
    here = [progress.here_bytes for progress in me.seen]
    assert here == sorted(here)
    assert here[-1] == SIZE


@pytest.mark.parametrize("size", [0, 1, 255, MIB])
async def test_files_of_any_size_come(
    hub: FakeHub, repository: FakeRepository, me: Puller, size: int
) -> None:
    repository.put("other.gguf", some_bytes(size))

    snapshot = await me.pull(a_job(repository, "other.gguf"))

    assert (snapshot / "other.gguf").read_bytes() == some_bytes(size)


FAULTS = {
    "cut at once": [Fault(cut_after=0)],
    "cut": [Fault(cut_after=100_000, times=8)],
    "reset": [Fault(cut_after=300_000, reset=True, times=8)],
    "silent from the start": [Fault(silent=True, times=3)],
    "silent in the middle": [Fault(silent=True, cut_after=50_000, times=3)],
    "a length too long": [Fault(length_off=10, skip=1, times=2)],
    "a part that begins elsewhere": [Fault(headers={"Content-Range": "bytes 7-9/10"}, status=206)],
    "busy": [Fault(status=503, times=4)],
    "busy once the hub itself": [Fault(at=Stage.RESOLVE, status=503, times=2)],
    "too many, but for one": [too_many("0", skip=1, times=20)],
    "broken": [Fault(status=500), Fault(status=502), Fault(status=504)],
    "the whole where a part was asked for": [Fault(whole=True, skip=2, times=3)],
    "expired": [Fault(status=403, skip=3, times=5)],
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_passes_costs_nothing_but_time(
    hub: FakeHub,
    repository: FakeRepository,
    me: Puller,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(session, "_SILENCE_S", 0.3)
    hub.bytes_per_s = 60e6
    hub.send_buffer_bytes = 65_536
    hub.fail(*FAULTS[name])

    snapshot = await me.pull(a_job(repository))

    assert (snapshot / FILE).read_bytes() == CONTENT
    assert sent(hub) <= SIZE * 1.05 + (3 * MIB if "whole" in name else 0)


async def test_after_429_the_other_connections_go_on_and_that_one_comes_back(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.bytes_per_s = 15e6
    hub.fail(too_many("0", skip=1, times=5))

    await me.pull(a_job(repository))

    late = [asked for asked in hub.log if asked.host == "storage"][6:]
    assert {asked.status for asked in late} == {206}
    assert hub.most_sending > 1


async def test_retry_after_a_date_is_waited_for(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=2)
    hub.fail(too_many(format_datetime(until, usegmt=True)))

    await me.pull(a_job(repository))

    assert datetime.now(UTC) >= until - timedelta(seconds=1)
    assert any("429" in (progress.note or "") for progress in me.seen)
    assert me.seen[-1].note is None


async def test_addresses_that_run_out_in_the_middle_are_asked_for_again_by_all_connections(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.bytes_per_s = 30e6
    expired: list[int] = []

    def expire(progress: PullProgress) -> None:
        if progress.here_bytes > (len(expired) + 1) * SIZE // 6:
            expired.append(progress.here_bytes)
            hub.expire()

    me.on_progress = expire
    snapshot = await me.pull(a_job(repository))

    assert (snapshot / FILE).read_bytes() == CONTENT
    assert len(expired) >= 4
    assert 403 in {asked.status for asked in hub.log if asked.host == "storage"}
    assert sent(hub) == SIZE


async def test_addresses_that_serve_once_only_are_no_hindrance(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.expires_after_requests = 1

    await me.pull(a_job(repository))

    assert sent(hub) == SIZE


async def test_a_server_without_ranges_sends_it_over_one_connection(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.ignores_ranges = True

    await me.pull(a_job(repository))

    assert sent(hub) == SIZE
    assert hub.most_sending == 1


async def test_a_server_that_loses_its_ranges_in_the_middle_still_brings_it(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.bytes_per_s = 40e6

    def lose(progress: PullProgress) -> None:
        hub.ignores_ranges = hub.ignores_ranges or progress.here_bytes > SIZE // 2

    me.on_progress = lose
    snapshot = await me.pull(a_job(repository))

    assert (snapshot / FILE).read_bytes() == CONTENT


async def test_a_connection_that_is_much_slower_than_the_others_is_not_waited_for(
    hub: FakeHub, repository: FakeRepository, me: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_WORTH_S", 0.3)
    hub.bytes_per_s = 20e6
    hub.fail(Fault(bytes_per_s=10_000, skip=2))
    began = time.monotonic()

    await me.pull(a_job(repository))

    assert time.monotonic() - began < 20, "its piece alone takes a minute and a half"
    assert sent(hub) <= SIZE + MIB
    assert len(ranges(hub)) < 60, "no thrash"


async def test_what_is_wrong_once_is_set_aside_and_fetched_again(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    job = a_job(repository)
    hub.fail(Fault(wrong=True, skip=1, times=1))

    snapshot = await me.pull(job)

    assert (snapshot / FILE).read_bytes() == CONTENT
    assert sent(hub) == 2 * SIZE
    assert names(me.blobs(job)) == {repository.etag(FILE)}


async def test_what_is_wrong_twice_is_refused_and_kept_beside(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    job = a_job(repository)
    hub.fail(Fault(wrong=True, times=None))

    error = await refusal(me, job)

    assert isinstance(error, WrongContent)
    assert repository.etag(FILE) in error.why
    assert sent(hub) == 2 * SIZE
    assert names(me.blobs(job)) == {f"{repository.etag(FILE)}.quarantined"}
    hub.heal()
    await me.pull(job)
    assert names(me.blobs(job)) == {repository.etag(FILE)}


async def test_a_file_that_changes_between_two_parts_is_refused_and_what_has_come_is_kept(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.bytes_per_s, hub.expires_after_requests = 40e6, 1
    job, blob = a_job(repository), me.cache
    changed: list[bool] = []

    def change(progress: PullProgress) -> None:
        if not changed and progress.here_bytes > SIZE // 3:
            changed.append(True)
            repository.put(FILE, some_bytes(SIZE, seed=2))

    me.on_progress = change
    error = await refusal(me, job)

    assert isinstance(error, WrongContent)
    assert "by now" in error.why
    blob = me.blobs(job) / str(job.files[0].etag)
    assert here_bytes(blob, SIZE) >= SIZE // 3


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(total_off=1, times=None), WrongContent),
        (Fault(whole=True, length_off=-100, times=None), WrongContent),
        (Fault(at=Stage.RESOLVE, location="http://elsewhere.invalid/x", times=None), NoNetwork),
        (Fault(at=Stage.RESOLVE, location="file:///etc/passwd", times=None), NoNetwork),
        (Fault(at=Stage.RESOLVE, location="", times=None), NoNetwork),
        (
            Fault(at=Stage.RESOLVE, status=404, headers={"X-Error-Code": "EntryNotFound"}),
            ModelNotFound,
        ),
        (Fault(at=Stage.RESOLVE, status=401), AccessRefused),
        (Fault(at=Stage.RESOLVE, status=403, headers={"X-Error-Code": "GatedRepo"}), AccessRefused),
    ],
)
async def test_what_does_not_pass_is_one_error(
    hub: FakeHub, repository: FakeRepository, me: Puller, fault: Fault, kind: type[LocalLLMError]
) -> None:
    hub.fail(fault)

    assert isinstance(await refusal(me, a_job(repository)), kind)

    assert sent(hub) <= 2 * SIZE


async def test_without_a_hub_it_is_an_error_at_once(
    repository: FakeRepository, tmp_path: Path
) -> None:
    began = time.monotonic()

    error = await refusal(Puller(tmp_path / "home", "http://127.0.0.1:9"), a_job(repository))

    assert isinstance(error, NoNetwork)
    assert time.monotonic() - began < 3


async def test_offline_asks_nobody_and_makes_no_folder_and_serves_what_is_here(
    hub: FakeHub,
    repository: FakeRepository,
    me: Puller,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offline = {**me.environment, "HF_HUB_OFFLINE": "1"}
    monkeypatch.setattr(Puller, "environment", offline)

    error = await refusal(me, a_job(repository))

    assert "HF_HUB_OFFLINE" in error.why
    assert hub.log == []
    assert not me.cache.exists()


async def test_the_token_never_reaches_the_storage(
    hub: FakeHub, repository: FakeRepository, me: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {**me.environment, "HF_TOKEN": hub.token}
    monkeypatch.setattr(Puller, "environment", known)

    await me.pull(a_job(repository))

    assert hub.tokens == {hub.token}
    assert hub.storage_tokens == {None}


async def test_a_limit_is_kept_to_and_may_change_meanwhile(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.send_buffer_bytes = 16_384
    me.pace.bytes_per_s = 2e6
    taken: list[tuple[float, int]] = []

    def note(progress: PullProgress) -> None:
        taken.append((time.monotonic(), progress.here_bytes))
        if progress.here_bytes > 6e6:
            me.pace.bytes_per_s = None

    me.on_progress = note
    began = time.monotonic()
    await me.pull(a_job(repository))

    limited = [one for one in taken if 1e6 < one[1] < 6e6]
    (first_s, first), (last_s, last) = limited[0], limited[-1]
    assert 1.2e6 < (last - first) / (last_s - first_s) < 2.2e6
    assert time.monotonic() - began < 8, "the rest comes at once"


async def test_a_pull_that_is_cancelled_anywhere_keeps_what_has_come_and_leaves_nothing_open(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    hub.bytes_per_s = 60e6
    hub.send_buffer_bytes = 65_536
    job = a_job(repository)
    blob = me.blobs(job) / str(job.files[0].etag)
    descriptors = len(list(Path("/proc/self/fd").iterdir())) if os.name == "posix" else 0
    here = 0
    for share in range(1, 10):

        def stop(progress: PullProgress, enough: int = SIZE * share // 10) -> None:
            if progress.here_bytes >= enough:
                scope.cancel()

        me.on_progress = stop
        with anyio.CancelScope() as scope:
            await me.pull(job)
        if blob.exists():
            break  # the last bytes were quicker
        assert scope.cancelled_caught
        assert here_bytes(blob, SIZE) >= here
        here = here_bytes(blob, SIZE)
    assert here > SIZE // 2
    me.on_progress = lambda _: None

    snapshot = await me.pull(job)

    assert (snapshot / FILE).read_bytes() == CONTENT
    assert sent(hub) <= SIZE + 9 * 2 * MIB
    await idle(hub)
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors + 2


async def test_one_of_our_own_that_is_here_at_another_size_is_not_taken_for_it(
    repository: FakeRepository, me: Puller
) -> None:
    job = a_job(repository)
    blob = me.blobs(job) / str(job.files[0].etag)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"half")

    snapshot = await me.pull(job)

    assert (snapshot / FILE).read_bytes() == CONTENT
    assert names(blob.parent) == {blob.name}


@pytest.mark.parametrize(
    ("commit", "etag"), [("../../../evil", "a" * 64), (COMMIT, "../../../evil"), (COMMIT, None)]
)
async def test_names_that_a_hub_makes_up_lead_nowhere(
    me: Puller, commit: str, etag: str | None, tmp_path: Path
) -> None:
    job = PullJob(REPO, commit, (RepositoryFile(FILE, 10, etag),))

    assert isinstance(await refusal(me, job), NoNetwork)

    assert not me.home.exists()


async def test_two_names_for_the_same_contents_are_one_transfer(
    hub: FakeHub, repository: FakeRepository, me: Puller
) -> None:
    for name in ("a.json", "b.json", "c.json"):
        repository.put(name, b"{}" * 1000)

    snapshot = await me.pull(a_job(repository, "a.json", "b.json", "c.json"))

    assert (snapshot / "c.json").read_bytes() == b"{}" * 1000
    assert sum(hub.sent_of.values()) == 2000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB that is a real one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={24 * MIB}", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk may be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


async def test_a_disk_without_room_is_known_before_the_first_byte(
    hub: FakeHub, repository: FakeRepository, small_disk: Path
) -> None:
    me = Puller(small_disk / "home", hub.url)

    error = await refusal(me, a_job(repository))

    assert isinstance(error, NoSpace)
    assert "no removal here makes room enough" in error.fix
    assert hub.log == []
    assert not me.home.exists()


async def test_what_was_wrong_makes_room_for_what_comes_before_it(
    hub: FakeHub, repository: FakeRepository, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SPARE_BYTES", 0)
    repository.put("first.gguf", some_bytes(5 * MIB))
    repository.put("second.gguf", some_bytes(10 * MIB))
    me, job = Puller(small_disk / "home", hub.url), a_job(repository, "first.gguf", "second.gguf")
    me.blobs(job).mkdir(parents=True)
    bad = me.blobs(job) / f"{job.files[1].etag}.quarantined"
    bad.write_bytes(bytes(10 * MIB))

    snapshot = await me.pull(job)

    assert names(snapshot) == {"first.gguf", "second.gguf"}
    assert not bad.exists()


@pytest.mark.parametrize("may_reserve", [False, True])
async def test_a_disk_that_fills_up_in_the_middle_keeps_what_has_come(
    hub: FakeHub,
    repository: FakeRepository,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    may_reserve: bool,
) -> None:
    """Another program is quicker; where room can be set aside, it is known at once."""
    monkeypatch.setattr(disk, "SPARE_BYTES", -64 * MIB)
    if not may_reserve:
        monkeypatch.setattr("localllm.transfer.part.reserve", lambda *_: None)
    me, job = Puller(small_disk / "home", hub.url), a_job(repository)
    (other := small_disk / "of another program").write_bytes(bytes(10 * MIB))
    blob = me.blobs(job) / str(job.files[0].etag)

    error = await refusal(me, job)

    assert isinstance(error, NoSpace)
    kept = here_bytes(blob, SIZE)
    assert (kept == 0) if may_reserve else (kept > 10 * MIB)
    other.unlink()
    await idle(hub)
    hub.forget()
    snapshot = await me.pull(job)
    assert (snapshot / FILE).read_bytes() == CONTENT
    assert sent(hub) == SIZE - kept


async def test_another_program_that_holds_the_lock_is_waited_for_and_shown(
    hub: FakeHub, repository: FakeRepository, me: Puller, tmp_path: Path
) -> None:
    job, other = a_job(repository), Puller(me.home, hub.url)
    hub.bytes_per_s = 20e6
    began = threading.Event()
    other.on_progress = lambda _: began.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other.pull, job)
        await anyio.to_thread.run_sync(began.wait)
        await me.pull(job)

    assert me.states(FILE)[0] is FileState.ELSEWHERE
    assert me.states(FILE)[-1] is FileState.DONE
    assert max(one.here_bytes for one in me.seen[:-1]) > MIB
    assert sent(hub) == SIZE
