"""What we put into the shared cache is what huggingface_hub would have put there."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from localllm.store.shared_cache import CachedRepository
from tests.fakes.hub import serving
from tests.unit.store.a_cache import MAIN, ACache, etag_of

REPO = "me/Small-GGUF"


@pytest.fixture
def cache(tmp_path: Path) -> ACache:
    return ACache(tmp_path / "hub")


def test_what_we_place_the_hub_finds_at_its_branch_and_commit(cache: ACache) -> None:
    cache.put(REPO, {"small-Q4_K_M.gguf": b"GGUF", "deep/config.json": b"{}"})

    assert cache.scan() == {REPO: {"a/small-Q4_K_M.gguf", "a/deep/config.json"}}
    assert cache.fetched(REPO, "small-Q4_K_M.gguf") == b"GGUF"
    assert cache.fetched(REPO, "deep/config.json", MAIN) == b"{}"


def test_the_hubs_own_download_lies_where_we_say(cache: ACache, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as hub:
        repository = hub.add(REPO)
        repository.put("small-Q4_K_M.gguf", b"GGUF", 2 << 20)
        file = hf_hub_download(
            REPO, "small-Q4_K_M.gguf", cache_dir=cache.folder, endpoint=hub.url, token="hf_valid"
        )

    ours, etag = cache.repository(REPO), repository.etag("small-Q4_K_M.gguf")
    assert Path(file) == ours.snapshot(repository.commit, "small-Q4_K_M.gguf")
    assert Path(file).resolve() == ours.blob(etag).resolve()
    assert ours.lock(etag).exists()
    assert (ours.folder / "refs" / "main").read_text() == repository.commit


def test_a_link_that_is_there_stays_and_one_to_other_contents_is_replaced(cache: ACache) -> None:
    snapshot = cache.put(REPO, {"small.gguf": b"GGUF"})
    before = (snapshot / "small.gguf").lstat().st_ino
    cache.put(REPO, {"small.gguf": b"GGUF"})
    same = (snapshot / "small.gguf").lstat().st_ino

    cache.put(REPO, {"small.gguf": b"GGUF2"})

    assert same == before
    assert cache.fetched(REPO, "small.gguf") == b"GGUF2"
    assert cache.repository(REPO).blob(etag_of("small.gguf", b"GGUF")).exists()


def test_the_tag_is_not_written_where_a_link_leads(cache: ACache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    cache.folder.mkdir()
    (cache.folder / "CACHEDIR.TAG").symlink_to(outside)

    cache.repository(REPO).make()

    assert not outside.exists()


def test_a_branch_that_means_the_commit_already_is_not_written_again(cache: ACache) -> None:
    cache.put(REPO, {})
    ref = cache.repository(REPO).ref("main")
    before = ref.stat().st_ino

    cache.repository(REPO).write_ref("main", MAIN)

    assert ref.stat().st_ino == before
    assert cache.repository(REPO).means("main") == MAIN
    assert cache.repository(REPO).means("other") is None


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/x"])
def test_no_path_leads_out_of_a_revision(cache: ACache, path: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        cache.repository(REPO).snapshot(MAIN, path)
    with pytest.raises(ValueError, match="leads out"):
        CachedRepository(cache.folder, REPO).write_ref(path, MAIN)
