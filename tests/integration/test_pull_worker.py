"""Pulls in processes of their own: killed, many at once, and beside a real `hf download`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from localllm.store.job import FileState, PullJob, PullProgress
from localllm.store.pull_talk import Pace
from localllm.store.repository import RepositoryFile
from localllm.transfer.part import here_bytes
from tests.fakes.hub import FakeHub, FakeRepository, Fault, Stage, serving
from tests.fakes.hub_process import HubProcess, hub_process
from tests.integration.a_pull import COMMIT, MIB, Puller, Worker, a_job, sha256_of, some_bytes

pytestmark = pytest.mark.timeout(120)
REPO, FILE = "me/model", "model-Q4_K_M.gguf"
HF = Path(sys.executable).with_name("hf")


class Place:
    """A hub in a process of its own, with one file, and somebody who wants it."""

    def __init__(self, root: Path, size: int) -> None:
        self.root, self.size = root, size
        self.repository = FakeHub(root).add(REPO)
        self.repository.put(FILE, some_bytes(size))
        self.job = a_job(self.repository)
        self.blob_name = str(self.job.files[0].etag)

    def at(self, hub: HubProcess) -> Place:
        self.hub = hub
        self.me = Puller(self.root.with_name("home"), hub.url)
        return self

    @property
    def blob(self) -> Path:
        return self.me.blobs(self.job) / self.blob_name

    @property
    def sent(self) -> int:
        return int(self.hub.tell()["sent_of"].get(f"{REPO}/{FILE}", 0))

    def hf(self) -> subprocess.Popen[bytes]:
        """The real command."""
        return subprocess.Popen(
            [str(HF), "download", REPO, FILE],
            env=self.me.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    (root := tmp_path / "hub").mkdir()
    place = Place(root, getattr(request, "param", 30 * MIB + 321))
    with hub_process(root) as hub:
        yield place.at(hub)


def until(happened: Callable[[], bool], within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def fetched(worker: Worker, enough: Callable[[PullProgress], bool]) -> None:
    """Hear a worker until so much is here."""
    while (said := worker.hears()) is not None:
        if said.progress is not None and enough(said.progress):
            return
    raise AssertionError("it ended before")


def test_a_worker_says_how_far_it_is_and_that_it_is_done(place: Place) -> None:
    worker = place.me.worker(place.job)

    first, last = worker.hears(), worker.last()

    assert first is not None
    assert first.progress is not None
    assert last is not None
    assert last.done
    assert worker.process.returncode == 0
    assert sha256_of(place.blob) == place.blob_name


def test_a_worker_says_why_it_failed(place: Place) -> None:
    place.hub.tell(faults=[{"at": "resolve", "status": 401, "times": None}])

    worker = place.me.worker(place.job)
    last = worker.last()

    assert last is not None
    assert last.failed is not None
    assert last.failed.code == "access_refused"
    assert "hf auth login" in last.failed.fix
    assert worker.process.returncode == 1


def test_a_worker_ends_with_its_input(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 1e6})
    worker = place.me.worker(place.job)
    fetched(worker, lambda progress: progress.here_bytes > 0)

    worker.stdin.close()

    worker.process.wait(5)
    worker.close()
    assert 0 < here_bytes(place.blob, place.size) < place.size


def test_a_worker_whose_listener_is_gone_ends(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 1e6})
    worker = place.me.worker(place.job)
    fetched(worker, lambda progress: progress.here_bytes > 0)

    assert worker.process.stdout is not None
    worker.process.stdout.close()

    worker.process.wait(5)
    worker.close()


def test_a_limit_is_obeyed_and_changed_on_the_fly(place: Place) -> None:
    worker = place.me.worker(place.job, bytes_per_s=1e6)
    fetched(worker, lambda progress: progress.here_bytes > 1e6)
    began, here = time.monotonic(), here_bytes(place.blob, place.size)
    fetched(worker, lambda progress: progress.here_bytes > 3e6)
    more = here_bytes(place.blob, place.size) - here
    speed = more / (time.monotonic() - began)

    worker.say(Pace(bytes_per_s=None))
    began = time.monotonic()
    last = worker.last()

    assert 0.6e6 < speed < 1.2e6
    assert last is not None
    assert last.done
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("place", [90 * MIB + 777], indirect=True)
def test_20_cuts_and_5_kills_cost_less_than_2_percent(place: Place) -> None:
    place.hub.tell(
        set={"bytes_per_s": 15e6, "send_buffer_bytes": 8_192},  # little is lost on the way
        cuts={"times": 20, "within_bytes": place.size - MIB, "seed": 4},
    )
    for kill in range(1, 6):
        worker = place.me.worker(place.job)
        fetched(worker, lambda progress, share=kill: progress.here_bytes > share * place.size / 6.5)
        worker.kill()

    last = place.me.worker(place.job).last()

    assert last is not None
    assert last.done, last
    assert sha256_of(place.blob) == place.blob_name
    told = place.hub.tell()
    assert told["cuts_left"] == 0
    print(f"\nsent {place.sent / place.size:.4f} of the file")  # noqa: T201
    assert place.sent <= 1.02 * place.size
    assert [entry.name for entry in place.blob.parent.iterdir()] == [place.blob_name]


def test_8_workers_for_the_same_file_are_one_transfer(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 20e6})
    workers = [place.me.worker(place.job) for _ in range(8)]

    with ThreadPoolExecutor(8) as listening:
        last = list(listening.map(Worker.last, workers))

    assert all(said is not None and said.done for said in last), last
    assert place.sent == place.size
    assert place.hub.tell()["most_connections"] <= 16


def test_when_one_of_two_workers_is_killed_the_other_goes_on_with_what_has_come(
    place: Place,
) -> None:
    place.hub.tell(set={"bytes_per_s": 20e6, "send_buffer_bytes": 65_536})
    first = place.me.worker(place.job)
    fetched(first, lambda progress: progress.here_bytes > 5 * MIB)
    second = place.me.worker(place.job)
    fetched(second, lambda progress: progress.files[0].state is FileState.ELSEWHERE)

    first.kill()

    last = second.last()
    assert last is not None
    assert last.done
    assert place.sent < place.size + 2 * MIB


def test_beside_an_hf_download_that_was_first_there_is_one_transfer(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 15e6})
    theirs = place.hf()
    until(lambda: place.sent > MIB)

    worker = place.me.worker(place.job)
    fetched(worker, lambda progress: progress.files[0].state is FileState.ELSEWHERE)
    fetched(worker, lambda progress: progress.here_bytes > MIB)
    last = worker.last()

    assert last is not None
    assert last.done
    assert theirs.wait(30) == 0
    assert place.sent == place.size


def test_beside_an_hf_download_that_comes_second_there_is_one_transfer(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 10e6})
    worker = place.me.worker(place.job)
    fetched(worker, lambda progress: progress.here_bytes > 0)

    theirs = place.hf()
    last = worker.last()

    assert last is not None
    assert last.done
    assert theirs.wait(30) == 0
    assert place.sent == place.size


def test_an_hf_download_that_is_killed_is_followed_by_ours(place: Place) -> None:
    place.hub.tell(set={"bytes_per_s": 15e6})
    theirs = place.hf()
    until(lambda: place.sent > 2 * MIB)
    worker = place.me.worker(place.job)
    fetched(worker, lambda progress: progress.files[0].state is FileState.ELSEWHERE)

    theirs.kill()
    theirs.wait()

    last = worker.last()
    assert last is not None
    assert last.done
    assert sha256_of(place.blob) == place.blob_name


def test_the_memory_of_a_worker_does_not_grow_with_the_file(tmp_path: Path) -> None:
    (root := tmp_path / "hub").mkdir()
    repository: FakeRepository = FakeHub(root).add(REPO)
    file = repository.put(FILE, b"", size=1 << 30)
    job = PullJob(REPO, COMMIT, (RepositoryFile(FILE, 1 << 30, sha256_of(file)),))
    with hub_process(root) as hub:
        worker = Puller(tmp_path / "home", hub.url).worker(job)
        fetched(worker, lambda progress: progress.here_bytes > 0)
        process = psutil.Process(worker.process.pid)
        idle = most = process.memory_info().rss
        while (said := worker.hears()) is not None and not said.done:
            most = max(most, process.memory_info().rss)
        worker.kill()
    assert said is not None, "it failed"
    print(f"\nRSS {idle / MIB:.0f} MiB, at most {most / MIB:.0f} MiB")  # noqa: T201
    assert most - idle < 100 * MIB


def test_when_a_busy_hub_wants_to_be_asked_again_is_told(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    with serving(tmp_path / "hub") as hub:
        repository = hub.add(REPO)
        repository.put(FILE, b"GGUF")
        hub.fail(Fault(at=Stage.RESOLVE, status=429, headers={"Retry-After": "900"}, times=None))
        said = Puller(tmp_path / "home", hub.url).worker(a_job(repository)).last()

    assert said is not None
    assert said.failed is not None
    assert (said.failed.code, said.failed.retry_after_s) == ("no_network", 900.0)
    assert "busy" in said.failed.fix
