"""The fake hub is taken for a hub by the real huggingface_hub, and its hashes are real."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import HfApi, errors, file_download
from huggingface_hub.utils._xet import refresh_xet_connection_info

from tests.fakes.hub import FakeHub, FakeRepository, serving
from tests.fakes.hub_process import hub_process

REPO = "me/Qwen-GGUF"
LARGE = random.Random(1).randbytes(3_000_000)
SMALL = b'{"a": 1}'


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    with serving(tmp_path / "served") as hub:
        yield hub
    huggingface_hub.close_session()


@pytest.fixture
def repository(hub: FakeHub) -> FakeRepository:
    repository = hub.add(REPO)
    repository.put("m-Q4_0.gguf", LARGE)
    repository.put("sub/config.json", SMALL)
    repository.put("tiny-Q8_0.gguf", b"GGUF")
    return repository


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def api(hub: FakeHub, token: str | bool = False) -> HfApi:
    return HfApi(hub.url, token=token)


def address(hub: FakeHub, path: str) -> str:
    return huggingface_hub.hf_hub_url(REPO, path, endpoint=hub.url)


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.mark.parametrize("links_small_files", [False, True])
def test_a_snapshot_has_all_files_under_their_real_hashes(
    hub: FakeHub, repository: FakeRepository, cache: Path, links_small_files: bool
) -> None:
    hub.links_small_files = links_small_files

    snapshot = Path(api(hub).snapshot_download(REPO, cache_dir=cache))

    assert snapshot.name == repository.commit
    blobs = {f.relative_to(snapshot).as_posix(): f.resolve() for f in snapshot.rglob("*.*")}
    assert {path: blob.name for path, blob in blobs.items()} == {
        "m-Q4_0.gguf": hashlib.sha256(LARGE).hexdigest(),
        "sub/config.json": git_sha1(SMALL),
        "tiny-Q8_0.gguf": hashlib.sha256(b"GGUF").hexdigest(),
    }
    assert blobs["m-Q4_0.gguf"].read_bytes() == LARGE
    assert blobs["sub/config.json"].read_bytes() == SMALL
    assert hub.sent_of == {
        f"{REPO}/m-Q4_0.gguf": len(LARGE),
        f"{REPO}/sub/config.json": len(SMALL),
        f"{REPO}/tiny-Q8_0.gguf": 4,
    }


def test_a_listing_a_tree_and_a_path_tell_the_same_hashes(
    hub: FakeHub, repository: FakeRepository
) -> None:
    listed = api(hub).model_info(REPO, files_metadata=True).siblings or []
    tree = api(hub).list_repo_tree(REPO, recursive=True)
    told = api(hub).get_paths_info(REPO, repository.paths())

    for kind in (
        {s.rfilename: s for s in listed},
        {f.path: f for f in tree},
        {f.path: f for f in told},
    ):
        assert kind["m-Q4_0.gguf"].lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
        assert kind["m-Q4_0.gguf"].size == len(LARGE)
        assert kind["sub/config.json"].blob_id == git_sha1(SMALL)
        assert kind["sub/config.json"].lfs is None


def test_a_token_goes_to_the_hub_and_never_to_the_storage(
    hub: FakeHub, repository: FakeRepository, cache: Path
) -> None:
    api(hub, hub.token).hf_hub_download(REPO, "m-Q4_0.gguf", cache_dir=cache)

    assert hub.tokens == {hub.token}
    assert hub.storage_tokens == {None}
    assert hub.url != hub.storage_url


def test_a_storage_that_is_sent_a_token_refuses(hub: FakeHub, repository: FakeRepository) -> None:
    found = file_download.get_hf_file_metadata(address(hub, "m-Q4_0.gguf"), token=False)

    answer = httpx2.get(found.location, headers={"Authorization": f"Bearer {hub.token}"})

    assert answer.status_code == 400
    assert hub.storage_tokens == {hub.token}


def test_a_signed_address_expires_and_the_next_call_gets_another(
    hub: FakeHub, repository: FakeRepository, cache: Path
) -> None:
    found = file_download.get_hf_file_metadata(address(hub, "m-Q4_0.gguf"), token=False)
    statuses = [httpx2.head(found.location).status_code]
    hub.clock = lambda: time.time() + hub.expires_s + 1

    statuses.append(httpx2.head(found.location).status_code)
    path = api(hub).hf_hub_download(REPO, "m-Q4_0.gguf", cache_dir=cache)

    assert statuses == [200, 403]
    assert Path(path).read_bytes() == LARGE


def test_a_signed_address_serves_so_many_requests(hub: FakeHub, repository: FakeRepository) -> None:
    hub.expires_after_requests = 2
    where = file_download.get_hf_file_metadata(address(hub, "m-Q4_0.gguf"), token=False).location

    assert [httpx2.head(where).status_code for _ in range(3)] == [200, 200, 403]


def test_a_signed_address_serves_no_other_file(hub: FakeHub, repository: FakeRepository) -> None:
    where = file_download.get_hf_file_metadata(address(hub, "m-Q4_0.gguf"), token=False).location

    other = httpx2.head(where.replace("m-Q4_0", "tiny-Q8_0"))

    assert (other.status_code, httpx2.head(where).status_code) == (403, 200)


def test_addresses_given_so_far_can_be_made_to_expire(
    hub: FakeHub, repository: FakeRepository
) -> None:
    url = address(hub, "m-Q4_0.gguf")
    before = file_download.get_hf_file_metadata(url, token=False).location

    hub.expire()

    after = file_download.get_hf_file_metadata(url, token=False).location
    assert [httpx2.head(where).status_code for where in (before, after)] == [403, 200]


@pytest.mark.parametrize(
    ("name", "path", "token", "error"),
    [
        ("big/gated", "m.gguf", False, errors.GatedRepoError),
        ("big/refused", "m.gguf", "hf_valid", errors.GatedRepoError),
        ("me/private", "m.gguf", False, errors.RepositoryNotFoundError),
        ("me/none", "m.gguf", "hf_valid", errors.RepositoryNotFoundError),
        ("me/private", "no.gguf", "hf_valid", errors.RemoteEntryNotFoundError),
        ("me/private", "m.gguf", "hf_old", errors.HfHubHTTPError),
    ],
)
def test_what_is_refused_is_refused_as_the_library_expects(
    hub: FakeHub, name: str, path: str, token: str | bool, error: type[Exception]
) -> None:
    hub.add("big/gated", is_gated=True).put("m.gguf", b"GGUF")
    hub.add("big/refused", is_gated=True, is_granted=False).put("m.gguf", b"GGUF")
    hub.add("me/private", is_private=True).put("m.gguf", b"GGUF")

    with pytest.raises(error):
        api(hub, token).hf_hub_download(name, path, cache_dir=hub.root / "cache")


def test_a_revision_that_is_not_there_is_refused_as_such(
    hub: FakeHub, repository: FakeRepository, cache: Path
) -> None:
    with pytest.raises(errors.RevisionNotFoundError):
        api(hub).hf_hub_download(REPO, "m-Q4_0.gguf", revision="v9", cache_dir=cache)


@pytest.mark.parametrize("name", ["big/gated", "me/private"])
def test_a_token_opens_what_is_gated_and_what_is_private(
    hub: FakeHub, cache: Path, name: str
) -> None:
    hub.add("big/gated", is_gated=True).put("m.gguf", LARGE)
    hub.add("me/private", is_private=True).put("m.gguf", LARGE)

    path = api(hub, hub.token).hf_hub_download(name, "m.gguf", cache_dir=cache)

    assert Path(path).read_bytes() == LARGE


def test_a_repository_that_moved_on_keeps_its_older_commits(
    hub: FakeHub, repository: FakeRepository, cache: Path
) -> None:
    older = repository.move_on()
    repository.put("sub/config.json", b"{}")
    repository.refs["v1"] = older

    found = {
        revision: api(hub).hf_hub_download(
            REPO, "sub/config.json", revision=revision, cache_dir=cache
        )
        for revision in ("main", "v1", older, repository.commit)
    }

    assert [Path(path).read_bytes() for path in found.values()] == [b"{}", SMALL, SMALL, b"{}"]
    assert api(hub).model_info(REPO, revision="v1").sha == older
    assert api(hub).model_info(REPO).sha == repository.commit != older


def test_a_repository_is_found_by_its_former_name(
    hub: FakeHub, repository: FakeRepository, cache: Path
) -> None:
    hub.moved["old/Name-GGUF"] = REPO

    path = api(hub).hf_hub_download("old/Name-GGUF", "m-Q4_0.gguf", cache_dir=cache)

    assert Path(path).read_bytes() == LARGE
    assert api(hub).model_info("old/Name-GGUF").id == REPO


def test_conversions_of_a_model_are_found_the_most_used_first(hub: FakeHub) -> None:
    tags = ["gguf", "base_model:quantized:qwen/Qwen"]
    hub.add("a/Qwen-GGUF", tags=tags, downloads=1)
    hub.add("b/Qwen-GGUF", tags=tags, downloads=9)
    hub.add("qwen/Qwen", downloads=99)

    found = api(hub).list_models(filter="base_model:quantized:qwen/Qwen", sort="downloads")

    assert [one.id for one in found] == ["b/Qwen-GGUF", "a/Qwen-GGUF"]


def test_xet_is_announced_where_it_is_wanted(hub: FakeHub, repository: FakeRepository) -> None:
    url = address(hub, "m-Q4_0.gguf")
    plain = file_download.get_hf_file_metadata(url, token=False)
    hub.announces_xet = True

    found = file_download.get_hf_file_metadata(url, token=False, endpoint=hub.url)

    assert plain.xet_file_data is None
    assert found.xet_file_data is not None
    connection = refresh_xet_connection_info(file_data=found.xet_file_data, headers={})
    assert connection is not None
    assert connection.endpoint == hub.storage_url
    (told,) = api(hub).get_paths_info(REPO, ["m-Q4_0.gguf"])
    assert told.xet_hash == found.xet_file_data.file_hash


def test_a_file_with_a_large_hole_is_never_hashed(hub: FakeHub) -> None:
    repository = hub.add("big/hole")
    repository.put("m.gguf", b"GGUF", 400_000_000_000)

    (file,) = api(hub).model_info("big/hole", files_metadata=True).siblings or []

    assert file.lfs
    assert (file.size, len(file.lfs.sha256)) == (400_000_000_000, 64)


def test_as_a_process_it_serves_a_folder_and_does_as_it_is_told(
    tmp_path: Path, cache: Path
) -> None:
    folder = tmp_path / "served" / "me--Qwen-GGUF"
    folder.mkdir(parents=True)
    (folder / "m-Q4_0.gguf").write_bytes(LARGE)
    with hub_process(tmp_path / "served") as hub:
        gone = {"status": 404, "headers": {"X-Error-Code": "EntryNotFound"}}
        hub.tell(faults=[{**gone, "at": "resolve", "times": None}])
        with pytest.raises(errors.RemoteEntryNotFoundError):
            HfApi(hub.url, token=False).hf_hub_download(REPO, "m-Q4_0.gguf", cache_dir=cache)
        hub.tell(heal=True, forget=True)

        path = HfApi(hub.url, token=False).hf_hub_download(REPO, "m-Q4_0.gguf", cache_dir=cache)

        told = hub.tell()
    assert Path(path).read_bytes() == LARGE
    assert told["sent_of"] == {f"{REPO}/m-Q4_0.gguf": len(LARGE)}
    assert [(host, method, status) for host, method, *_, status in told["requests"]] == [
        ("hub", "HEAD", 302),
        ("storage", "GET", 200),
    ]
    huggingface_hub.close_session()
