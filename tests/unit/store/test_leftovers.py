"""What no model needs is found, explained, and goes only when no program is at it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub.utils import _shared_blobs

from localllm.errors import InUse, LocalLLMError
from localllm.store.clearing import is_locked
from localllm.store.discarding import discard
from localllm.store.leftovers import Leftover, read_leftovers
from tests.unit.store.a_cache import MAIN, OLD, ACache, contents, etag_of

REPO, Q4 = "me/Small-GGUF", "small-Q4_K_M.gguf"
ETAG = "e" * 64
NOW = 2_000_000_000.0


@pytest.fixture
def cache(tmp_path: Path) -> ACache:
    cache = ACache(tmp_path / "hub")
    cache.put(REPO, {Q4: b"four"})
    return cache


def sweep(shared: Path, cache: Path) -> int:
    return _shared_blobs.sweep_shared_blob(shared, cache_dir=cache)


def left(cache: ACache, name: str, data: bytes = b"half", *, age_s: float = 3600.0) -> Path:
    """Leave something among the blobs."""
    file = cache.repository(REPO).blob(name)
    file.write_bytes(data)
    os.utime(file, (NOW - age_s, NOW - age_s))
    return file


def found(cache: ACache) -> list[Leftover]:
    return list(read_leftovers(cache.folder, NOW))


def only(cache: ACache) -> Leftover:
    (one,) = found(cache)
    return one


def hold(cache: ACache, etag: str = ETAG) -> FileLock:
    lock = cache.repository(REPO).lock(etag)
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock)


def test_a_cache_without_leftovers_has_none(cache: ACache, tmp_path: Path) -> None:
    assert found(cache) == []
    assert read_leftovers(tmp_path / "nowhere", NOW) == []


@pytest.mark.parametrize(
    ("name", "kind", "says", "resumable"),
    [
        (f"{ETAG}.part", "half", "a pull that has not ended", True),
        (f"{ETAG}.part.journal", "half", "a half file that is gone", True),
        (f"{ETAG}.1a2b3c4d.incomplete", "incomplete", "none takes up again", False),
        (f"{ETAG}.incomplete", "incomplete", "an older huggingface_hub", True),
        (f"{ETAG}.quarantined", "quarantined", "another hash", False),
        (ETAG, "unreferenced", "no revision has a name for", True),
    ],
)
def test_each_kind_is_told_apart_and_explained(
    cache: ACache, name: str, kind: str, says: str, resumable: bool
) -> None:
    file = left(cache, name)

    one = only(cache)

    assert (one.kind, one.path, one.size_bytes, one.in_use) == (kind, file, 4, False)
    assert (one.changed, one.is_resumable) == (NOW - 3600.0, resumable)
    assert says in one.why
    assert one.why.endswith(f"of {REPO}.")


def test_a_half_is_one_with_its_journal_and_is_as_large_as_what_is_allocated(
    cache: ACache,
) -> None:
    file = left(cache, f"{ETAG}.part", b"x" * 5000)
    with file.open("r+b") as opened:
        opened.truncate(1 << 30)
    left(cache, f"{ETAG}.part.journal", b"notes")

    assert 5000 <= only(cache).size_bytes <= 20_000


def test_a_name_whose_contents_are_gone_is_a_broken_link(cache: ACache) -> None:
    cache.repository(REPO).blob(etag_of(Q4, b"four")).unlink()

    one = only(cache)

    assert (one.kind, one.size_bytes) == ("broken_link", 0)
    assert one.path == cache.repository(REPO).snapshot(MAIN, Q4)
    assert Q4 in one.why


def test_a_name_that_waits_for_another_disk_is_none(cache: ACache) -> None:
    (cache.repository(REPO).snapshot(MAIN) / "other.gguf").symlink_to("/not/mounted/other.gguf")

    assert found(cache) == []


def test_while_a_program_holds_the_lock_it_is_in_use(cache: ACache) -> None:
    for ending in (".part", ".1a2b3c4d.incomplete", ".quarantined"):
        left(cache, ETAG + ending)

    with hold(cache):
        held = [one.in_use for one in found(cache)]

    assert held == [True] * 3
    assert [one.in_use for one in found(cache)] == [False] * 3


@pytest.mark.parametrize("name", [f"{ETAG}.1a2b3c4d.incomplete", ETAG])
def test_what_was_written_lately_is_in_use_without_a_lock(cache: ACache, name: str) -> None:
    left(cache, name, age_s=599.0)

    assert only(cache).in_use


def test_contents_wait_for_their_name_while_the_rest_of_a_pull_comes(cache: ACache) -> None:
    left(cache, "d" * 64)
    left(cache, f"{ETAG}.part")

    with hold(cache):
        held = {one.kind: one.in_use for one in found(cache)}

    assert held == {"half": True, "unreferenced": True}


def test_where_a_revision_cannot_be_read_no_contents_count_as_nameless(
    cache: ACache, tmp_path: Path
) -> None:
    left(cache, ETAG)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (cache.repository(REPO).folder / "snapshots" / OLD).symlink_to(elsewhere)

    assert found(cache) == []


def test_half_files_of_data_sets_are_found_too(cache: ACache) -> None:
    blobs = cache.folder / "datasets--who--words" / "blobs"
    blobs.mkdir(parents=True)
    half = blobs / f"{ETAG}.1a2b3c4d.incomplete"
    half.write_bytes(b"half")
    os.utime(half, (NOW - 3600, NOW - 3600))
    (blobs / ETAG).write_bytes(b"whole")

    one = only(cache)
    freed = discard(one, cache.folder, sweep)

    assert (one.kind, one.in_use, freed) == ("incomplete", False, 4)
    assert [file.name for file in blobs.iterdir()] == [ETAG]


@pytest.mark.parametrize(
    "name",
    [f"{ETAG}.part", f"{ETAG}.part.journal", f"{ETAG}.x.incomplete", f"{ETAG}.quarantined", ETAG],
)
def test_it_goes_and_nothing_else_does(cache: ACache, name: str) -> None:
    before = contents(cache.folder)
    left(cache, name)

    freed = discard(only(cache), cache.folder, sweep)

    assert freed == 4
    assert contents(cache.folder) == before
    assert found(cache) == []


def test_a_half_goes_with_its_journal(cache: ACache) -> None:
    before = contents(cache.folder)
    left(cache, f"{ETAG}.part")
    left(cache, f"{ETAG}.part.journal")
    left(cache, f"{ETAG}.draft.part.journal")

    assert only(cache).size_bytes == 12
    assert discard(only(cache), cache.folder, sweep) == 12
    assert contents(cache.folder) == before


def test_with_a_broken_link_goes_a_revision_that_has_nothing_else(cache: ACache) -> None:
    cache.put("you/Other", {Q4: b"x"})
    cache.repository(REPO).blob(etag_of(Q4, b"four")).unlink()

    discard(only(cache), cache.folder, sweep)

    assert set(cache.scan()) == {"you/Other"}
    assert not cache.repository(REPO).folder.exists()


def test_shared_contents_that_lost_their_name_are_swept(cache: ACache) -> None:
    shared = cache.share(REPO, etag_of(Q4, b"four"), "ab" + "0" * 62)
    cache.repository(REPO).snapshot(MAIN, Q4).unlink()

    (one,) = read_leftovers(cache.folder, time.time() + 3600)
    freed = discard(one, cache.folder, sweep)

    assert (one.kind, one.size_bytes, freed) == ("unreferenced", 4, 4)
    assert not shared.exists()


def test_a_link_to_shared_contents_that_are_gone_is_broken(cache: ACache) -> None:
    shared = cache.share(REPO, etag_of(Q4, b"four"), "ab" + "0" * 62)
    cache.repository(REPO).snapshot(MAIN, Q4).unlink()
    shared.unlink()

    assert [one.kind for one in found(cache)] == ["broken_link"]


def test_what_got_its_name_or_contents_meanwhile_stays(cache: ACache) -> None:
    left(cache, ETAG)
    nameless = only(cache)
    cache.repository(REPO).link(MAIN, "late.gguf", ETAG)

    assert discard(nameless, cache.folder, sweep) == 0
    assert cache.fetched(REPO, "late.gguf") == b"half"


def test_what_a_program_has_begun_to_write_meanwhile_stays(cache: ACache) -> None:
    half = left(cache, f"{ETAG}.part")
    one = only(cache)

    with hold(cache), pytest.raises(InUse):
        discard(one, cache.folder, sweep)

    assert half.exists()


def test_blobs_that_are_elsewhere_are_not_touched(cache: ACache, tmp_path: Path) -> None:
    half = left(cache, f"{ETAG}.part")
    one = only(cache)
    moved = tmp_path / "moved"
    half.parent.rename(moved)
    half.parent.symlink_to(moved)

    with pytest.raises(LocalLLMError, match="leads out"):
        discard(one, cache.folder, sweep)

    assert (moved / half.name).exists()


def test_a_lock_that_cannot_be_looked_at_counts_as_held(tmp_path: Path) -> None:
    (tmp_path / "real.lock").touch()
    (tmp_path / "link.lock").symlink_to("real.lock")

    states = [is_locked(tmp_path / name) for name in ("none.lock", "real.lock", "link.lock")]

    assert states == [False, False, True]
