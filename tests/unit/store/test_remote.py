"""What is asked of a hub, and what is not asked again; the hub is one in memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localllm.errors import AccessRefused, NoNetwork
from localllm.formats.errors import BadModelFile
from localllm.formats.header import Header
from localllm.store.contents import sort_files
from localllm.store.header_cache import HeaderCache
from localllm.store.hub_errors import Asked, gated, refused, unreachable
from localllm.store.remote import MAX_PARTS, SMALL_STEP_BYTES, STEP_BYTES, RemoteHeaders
from localllm.store.repository import Repository, RepositoryFile, is_commit
from tests.unit.formats.a_gguf import PLAIN, Line, Raw, a_file, a_header, a_list

COMMIT = "c" * 40


@dataclass
class Memory:
    """A hub whose files are bytes."""

    files: Mapping[str, bytes]
    host: str = "hub"
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    fails: NoNetwork | None = None

    def fetch_repository(self, name: str, revision: str | None) -> Repository:
        if self.fails is not None:
            raise self.fails
        files = (RepositoryFile(path, len(data)) for path, data in self.files.items())
        return Repository(name, self.host, COMMIT, tuple(files))

    def fetch_range(
        self, repository: Repository, file: RepositoryFile, start: int, end: int
    ) -> bytes:
        self.ranges.append((file.path, start, end))
        return self.files[file.path][start:end]


@pytest.fixture
def cache(tmp_path: Path) -> HeaderCache:
    return HeaderCache(tmp_path / "cache")


def reading(hub: Memory, cache: HeaderCache) -> Header:
    remote = RemoteHeaders(hub, cache, cache.folder / "none")
    repository = remote.fetch_repository("me/tiny")
    (variant,) = sort_files(repository.files).models
    return remote.fetch_header(repository, variant)


def test_a_large_header_is_fetched_in_equal_steps_and_never_beyond_the_file(
    cache: HeaderCache,
) -> None:
    length = 5 << 20
    text = Raw(a_list(8, 1, length.to_bytes(8, "little") + b"x" * length).data)
    hub = Memory({"m-Q8_0.gguf": a_file(a_header({**PLAIN, "tokenizer.ggml.tokens": text}))})

    reading(hub, cache)

    starts = [(start, end) for _, start, end in hub.ranges]
    assert starts[0] == (0, STEP_BYTES)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(starts))
    assert starts[-1][1] <= len(hub.files["m-Q8_0.gguf"])


def test_a_later_part_costs_a_small_step(cache: HeaderCache) -> None:
    line = Line("output.weight", (64, 3000))
    parts = {"split.count": 2, "split.tensors.count": 2}
    first = a_file(a_header({**PLAIN, **parts, "split.no": 0}))
    second = a_file(a_header({**parts, "split.no": 1}, (line,)), (line,))
    hub = Memory({"m-00001-of-00002.gguf": first, "m-00002-of-00002.gguf": second})

    assert reading(hub, cache).files == 2
    assert hub.ranges[1:] == [("m-00002-of-00002.gguf", 0, SMALL_STEP_BYTES)]


def test_what_was_parsed_is_kept_and_so_are_the_bytes(cache: HeaderCache) -> None:
    hub = Memory({"m-Q8_0.gguf": a_file(a_header())})
    header = reading(hub, cache)
    hub.ranges.clear()

    for ending in ("parsed", "head"):
        for file in cache.folder.glob(f"*.{ending}"):
            file.unlink()
        assert reading(hub, cache) == header

    assert hub.ranges == []


def test_what_is_no_header_is_not_kept(cache: HeaderCache) -> None:
    hub = Memory({"m-Q8_0.gguf": b"no model" * 100})
    for _ in range(2):
        with pytest.raises(BadModelFile):
            reading(hub, cache)

    assert len(hub.ranges) == 2


def test_a_model_in_too_many_files_is_not_asked_for(cache: HeaderCache) -> None:
    count = MAX_PARTS + 1
    names = (f"m-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))
    hub = Memory(dict.fromkeys(names, b"GGUF"))

    with pytest.raises(BadModelFile):
        reading(hub, cache)

    assert hub.ranges == []


def test_a_hub_that_refuses_is_not_overruled_by_what_was_known(cache: HeaderCache) -> None:
    hub = Memory({"m-Q8_0.gguf": a_file(a_header())})
    reading(hub, cache)
    hub.fails = gated("me/tiny", "https://hub")

    with pytest.raises(AccessRefused):
        reading(hub, cache)


def test_a_hub_that_cannot_be_reached_is_overruled_and_that_is_said(cache: HeaderCache) -> None:
    hub = Memory({"m-Q8_0.gguf": a_file(a_header())})
    reading(hub, cache)
    hub.fails = unreachable("https://hub", "no route")
    remote = RemoteHeaders(hub, cache, cache.folder / "none")

    assert remote.fetch_repository("me/tiny").not_fresh == "no route"
    with pytest.raises(NoNetwork):
        remote.fetch_repository("me/other")


def test_what_one_hub_said_is_not_believed_of_another(cache: HeaderCache) -> None:
    reading(Memory({"m-Q8_0.gguf": a_file(a_header())}), cache)
    other = Memory({"m-Q8_0.gguf": a_file(a_header())}, host="other")

    reading(other, cache)

    assert len(other.ranges) == 1


@pytest.mark.parametrize(
    ("revision", "expected"),
    [("a" * 40, True), ("a" * 39, False), ("A" * 40, False), ("main", False), (None, False)],
)
def test_only_a_full_commit_means_the_same_for_ever(revision: str | None, expected: bool) -> None:
    assert is_commit(revision) is expected


@pytest.mark.parametrize(
    ("status", "retryable"), [(401, False), (403, False), (429, True), (500, True), (503, True)]
)
def test_what_asking_again_cannot_cure_is_not_retryable(status: int, retryable: bool) -> None:
    error = refused(Asked("https://hub", "me/tiny", None, ""), status, "said")

    assert (error.exit_code, error.retryable) == (6, retryable)
    assert error.why == f"status {status}: said"
