"""What goes with a model, what stays, and that the hub reads what is left without a complaint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from filelock import FileLock
from huggingface_hub import hf_hub_download
from huggingface_hub.utils import _shared_blobs
from hypothesis import given, settings
from hypothesis import strategies as st

from localllm.errors import InUse, LocalLLMError
from localllm.store import clearing, emptying
from localllm.store.clearing import room_of
from localllm.store.discarding import discard
from localllm.store.held import models_of
from localllm.store.inventory import OnDisk, apart, read_inventory
from localllm.store.leftovers import read_leftovers
from localllm.store.removal import plan_removal, remove
from localllm.store.revisions import cached_repository, read_cached
from tests.fakes.hub import serving
from tests.unit.store.a_cache import MAIN, OLD, OLDER, ACache, contents, etag_of

REPO, OTHER = "me/Small-GGUF", "you/Other"
Q4, Q8 = "small-Q4_K_M.gguf", "small-Q8_0.gguf"


@pytest.fixture
def cache(tmp_path: Path) -> ACache:
    return ACache(tmp_path / "hub")


def sweep(shared: Path, cache: Path) -> int:
    return _shared_blobs.sweep_shared_blob(shared, cache_dir=cache)


def listed(cache: ACache) -> dict[str, OnDisk]:
    found = read_inventory((), cache.folder / "nowhere", cache.environment)
    return {model.name: model for model in found}


def rm(cache: ACache, name: str, only: str | None = None) -> int:
    model = listed(cache)[name]
    assert model.repo is not None
    return remove(cached_repository(cache.folder, model.repo), model.weights, only, sweep)


def blobs(cache: ACache, repo: str = REPO) -> int:
    folder = cache.repository(repo).blobs
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_quantization_goes_from_all_revisions_and_the_others_stay(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"four", Q8: b"eight", "README.md": b"hi"})

    freed = rm(cache, f"hf:{REPO}:Q4_K_M")

    assert freed == len(b"four")
    assert cache.scan() == {REPO: {f"a/{Q8}", "a/README.md", f"b/{Q8}"}}
    assert cache.fetched(REPO, Q8) == b"eight"
    assert cache.fetched(REPO, Q4) is None
    assert blobs(cache) == 2


def test_with_the_last_model_goes_all_that_is_of_the_repository(cache: ACache) -> None:
    snapshot = cache.put(REPO, {Q4: b"four", "mmproj-F16.gguf": b"see", "config.json": b"{}"})
    note = cache.repository(REPO).folder / ".no_exist" / MAIN / "deep" / "adapter.json"
    note.parent.mkdir(parents=True)
    note.touch()
    tree = cache.repository(REPO).folder / "trees" / f"{MAIN}.json"
    tree.parent.mkdir()
    tree.write_text("{}")
    cache.put(OTHER, {"config.json": b"{}", "model.safetensors": b"w"})

    rm(cache, f"hf:{REPO}:Q4_K_M")

    assert not snapshot.parent.parent.exists()
    assert set(cache.scan()) == {OTHER}
    assert set(listed(cache)) == {f"hf:{OTHER}"}


def test_what_the_hub_has_fetched_goes_and_can_be_fetched_again(
    cache: ACache, tmp_path: Path
) -> None:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as hub:
        repository = hub.add(REPO)
        for path in (Q4, Q8):
            repository.put(path, path.encode(), 2 << 20)
        repository.put("README.md", b"hi")

        def fetch(path: str) -> Path:
            return Path(
                hf_hub_download(
                    REPO, path, cache_dir=cache.folder, endpoint=hub.url, token="hf_valid"
                )
            )

        for path in (Q4, Q8, "README.md"):
            fetch(path)
        rm(cache, f"hf:{REPO}:Q4_K_M")
        left = cache.scan()
        again = fetch(Q4)

    commit = repository.commit[0]
    assert left == {REPO: {f"{commit}/{Q8}", f"{commit}/README.md"}}
    assert again.read_bytes().startswith(Q4.encode())
    assert cache.fetched(REPO, Q8) is not None


def test_a_projector_stays_as_long_as_a_model_beside_it_does(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight", "mmproj-F16.gguf": b"see"})

    rm(cache, f"hf:{REPO}:Q4_K_M")
    assert cache.fetched(REPO, "mmproj-F16.gguf") == b"see"

    rm(cache, f"hf:{REPO}:Q8_0")
    assert cache.scan() == {}


def test_an_older_revision_with_other_contents_goes_alone(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"old", "config.json": b"{}"}, OLD, ref="v1")
    cache.put(REPO, {Q4: b"new", "config.json": b"{}"})

    rm(cache, f"hf:{REPO}:Q4_K_M@{OLD}")

    assert cache.scan() == {REPO: {f"a/{Q4}", "a/config.json"}}
    assert cache.fetched(REPO, Q4) == b"new"
    assert not (cache.repository(REPO).folder / "refs" / "v1").exists()


def test_the_newer_one_goes_alone_too_and_its_branch_with_it(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"old", "config.json": b"{}"}, OLD, ref="v1")
    cache.put(REPO, {Q4: b"new", "config.json": b"{}"})

    rm(cache, f"hf:{REPO}:Q4_K_M")

    assert cache.scan() == {REPO: {f"b/{Q4}", "b/config.json"}}
    assert cache.fetched(REPO, Q4, "v1") == b"old"


def test_one_named_revision_loses_it_and_the_contents_stay_for_the_other(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"four"})

    freed = rm(cache, f"hf:{REPO}:Q4_K_M", OLD)

    assert freed == 0
    assert cache.scan() == {REPO: {f"a/{Q4}"}}
    assert cache.fetched(REPO, Q4) == b"four"


def test_what_two_sets_share_stays_for_the_one_that_stays(cache: ACache) -> None:
    first, second = "big-Q4_0-00001-of-00002.gguf", "big-Q4_0-00002-of-00002.gguf"
    cache.put(REPO, {first: b"old", second: b"same"}, OLD, ref=None)
    cache.put(REPO, {first: b"new", second: b"same"})

    rm(cache, f"hf:{REPO}:Q4_0")

    assert cache.scan() == {REPO: {f"b/{first}", f"b/{second}"}}
    assert cache.fetched(REPO, second, OLD) == b"same"


def test_all_files_of_a_set_go_and_what_there_is_of_half_a_one(cache: ACache) -> None:
    first, second = "big-Q4_0-00001-of-00002.gguf", "big-Q4_0-00002-of-00002.gguf"
    cache.put(REPO, {first: b"one"}, OLD, ref=None)
    cache.put(REPO, {first: b"one", second: b"two"})

    rm(cache, f"hf:{REPO}:Q4_0")

    assert cache.scan() == {}


def test_weights_that_are_there_twice_go_twice(cache: ACache) -> None:
    cache.put(
        REPO, {"config.json": b"{}", "model.safetensors": b"w", "consolidated.safetensors": b"w2"}
    )

    assert rm(cache, f"hf:{REPO}") == 5
    assert cache.scan() == {}


def test_what_we_do_not_know_stays_with_what_it_may_need(cache: ACache) -> None:
    cache.put(
        REPO,
        {"config.json": b"{}", "model.safetensors": b"w", "deep/down/it/is/far-Q4_0.gguf": b"x"}
        | {"pytorch_model.bin": b"x"},
    )
    plan = plan_removal(read_cached(cache.repository(REPO)), listed(cache)[f"hf:{REPO}"].weights)

    rm(cache, f"hf:{REPO}")

    assert set(plan.kept) == {"pytorch_model.bin", "deep/down/it/is/far-Q4_0.gguf"}
    assert cache.scan() == {
        REPO: {"a/config.json", "a/pytorch_model.bin", "a/deep/down/it/is/far-Q4_0.gguf"}
    }


def test_a_file_that_is_no_link_goes_itself(cache: ACache) -> None:
    snapshot = cache.put(REPO, {Q8: b"eight"})
    (snapshot / Q4).write_bytes(b"four")  # as on a disk without links

    assert rm(cache, f"hf:{REPO}:Q4_K_M") == 4
    assert cache.scan() == {REPO: {f"a/{Q8}"}}


XET = "ab" + "0" * 62


def test_contents_that_repositories_share_go_with_the_last_of_them(cache: ACache) -> None:
    for repo in (REPO, OTHER):
        cache.put(repo, {Q4: b"four"})
        shared = cache.share(repo, etag_of(Q4, b"four"), XET)

    first = rm(cache, f"hf:{REPO}:Q4_K_M")
    left = cache.fetched(OTHER, Q4)
    second = rm(cache, f"hf:{OTHER}:Q4_K_M")

    assert (first, left, second) == (0, b"four", 4)
    assert not shared.exists()
    assert cache.scan() == {}


def test_while_a_program_writes_it_nothing_goes(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})
    lock = cache.repository(REPO).lock(etag_of(Q4, b"four"))
    lock.parent.mkdir(parents=True)
    before = contents(cache.folder)

    with FileLock(lock), pytest.raises(InUse) as caught:
        rm(cache, f"hf:{REPO}:Q4_K_M")

    assert contents(cache.folder) == before
    assert REPO in caught.value.what


def test_a_half_beside_it_stays_and_the_hub_still_reads_the_repository(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four"})
    half = cache.repository(REPO).blob("e" * 64 + ".part")
    half.write_bytes(b"half")

    rm(cache, f"hf:{REPO}:Q4_K_M")

    assert half.read_bytes() == b"half"
    assert cache.scan() == {REPO: set()}


def test_a_revision_that_another_program_is_about_to_link_into_stays(cache: ACache) -> None:
    snapshot = cache.put(REPO, {Q4: b"four"})
    lock = cache.repository(REPO).lock("e" * 64)
    lock.parent.mkdir(parents=True)

    (snapshot / Q4).unlink()
    cache.repository(REPO).blob(etag_of(Q4, b"four")).unlink()

    with FileLock(lock):  # as the hub, which has made the folder and fetches something else
        emptying.clear_empty(cache.repository(REPO), room_of(cache.repository(REPO)))
        left = list(snapshot.iterdir()) if snapshot.is_dir() else None
        read = cache.scan()
        (snapshot / Q8).symlink_to("../../blobs/" + "e" * 64)

    assert (left, read) == ([], {REPO: set()})
    assert (cache.repository(REPO).folder / "refs" / "main").exists()


def test_where_a_revision_cannot_be_read_no_contents_go(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(REPO, {"sub/" + Q4: b"four"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"four"})
    refused = str(cache.repository(REPO).snapshot(OLD, "sub"))
    scandir = os.scandir

    def refuse(path: str) -> object:  # who runs as root can read everything
        if str(path) == refused:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    freed = rm(cache, f"hf:{REPO}:Q4_K_M")
    monkeypatch.undo()

    assert freed == 0
    assert cache.fetched(REPO, "sub/" + Q4, OLD) == b"four"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "dear.txt").write_bytes(b"dear")
    return folder


def test_a_name_that_leads_out_goes_and_the_file_stays(cache: ACache, outside: Path) -> None:
    snapshot = cache.put(REPO, {Q8: b"eight"})
    (snapshot / Q4).symlink_to(outside / "dear.txt")

    assert rm(cache, f"hf:{REPO}:Q4_K_M") == 0
    assert (outside / "dear.txt").read_bytes() == b"dear"
    assert not (snapshot / Q4).is_symlink()


@pytest.mark.parametrize(
    ("what", "refused"),
    [("", True), ("blobs", True), ("snapshots", True), (f"snapshots/{MAIN}", False)],
)
def test_a_folder_that_is_a_link_to_elsewhere_is_not_entered(
    cache: ACache, outside: Path, what: str, refused: bool
) -> None:
    cache.put(REPO, {Q4: b"four"})
    model = listed(cache)[f"hf:{REPO}:Q4_K_M"]
    folder = cache.repository(REPO).folder / what
    moved = outside / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)
    before = contents(outside)

    said = ""
    try:
        remove(cached_repository(cache.folder, REPO), model.weights, None, sweep)
    except LocalLLMError as error:
        said = error.what

    assert ("leads out" in said) is refused  # the last one holds no revision, so there is no model
    assert contents(outside) == before


def test_a_folder_in_a_revision_that_is_a_link_stays_with_what_is_in_it(
    cache: ACache, outside: Path
) -> None:
    snapshot = cache.put(REPO, {Q4: b"four"})
    (snapshot / "more").symlink_to(outside)
    before = contents(outside)

    rm(cache, f"hf:{REPO}:Q4_K_M")

    assert contents(outside) == before
    assert (snapshot / "more").is_symlink()


def test_a_cache_that_is_a_link_itself_is_the_users_own_choice(tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "hub").symlink_to(tmp_path / "big disk")
    cache = ACache(tmp_path / "hub")
    cache.put(REPO, {Q4: b"four", Q8: b"eight"})
    cache.share(REPO, etag_of(Q4, b"four"), XET)

    assert rm(cache, f"hf:{REPO}:Q4_K_M") == 4
    assert cache.scan() == {REPO: {f"a/{Q8}"}}


class _Crash(BaseException):
    pass


def test_ended_at_any_moment_it_leaves_a_cache_that_is_read_and_can_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = False
    for steps in range(40):
        cache = ACache(tmp_path / str(steps))
        cache.put(REPO, {Q4: b"old", "config.json": b"{}"}, OLD, ref="v1")
        cache.put(REPO, {Q4: b"four", "config.json": b"{}", "deep/mmproj-F16.gguf": b"see"})
        cache.put(OTHER, {Q8: b"eight"})
        done = _crashing_after(steps, lambda: rm(cache, f"hf:{REPO}:Q4_K_M"), monkeypatch)  # noqa: B023

        assert cache.fetched(REPO, Q4, "v1") == b"old"
        assert cache.fetched(OTHER, Q8) == b"eight"
        assert set(cache.scan()) == {REPO, OTHER}
        left = read_leftovers(cache.folder, 4e9)
        assert {one.kind for one in left} <= {"unreferenced"}
        for one in left:
            discard(one, cache.folder, sweep)
        cache.scan()
        assert read_leftovers(cache.folder, 4e9) == []
        for model in listed(cache).values():
            assert all(file.exists() for file in model.files)
        if done:
            break
    assert done
    assert steps > 5


def _crashing_after(steps: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let so many files and folders be removed, then end; tell whether it came to its end."""
    left = [steps]

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def remove_one(room: object, path: Path) -> object:
            if left[0] == 0:
                raise _Crash
            left[0] -= 1
            return real(room, path)

        return remove_one

    with monkeypatch.context() as patch:
        for name in ("unlink", "remove_empty"):
            patch.setattr(clearing.Room, name, counted(getattr(clearing.Room, name)))
        try:
            act()
        except _Crash:
            return False
    return True


PATHS = (
    Q4, Q8, "big-Q2_K-00001-of-00002.gguf", "big-Q2_K-00002-of-00002.gguf", "sub/other-Q6_K.gguf",
    "alt-Q2_K-00001-of-00002.gguf",
    "mmproj-F16.gguf", "model.safetensors", "config.json", "tokenizer.json", "README.md",
)  # fmt: skip
REVISIONS = st.dictionaries(
    st.sampled_from([MAIN, OLD, OLDER]),
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from([b"1", b"22", b"333"]), min_size=1),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([REPO, OTHER]), REVISIONS, min_size=1), st.data())
def test_whatever_goes_every_other_model_stays_whole_and_nothing_else_changes(
    repositories: dict[str, dict[str, dict[str, bytes]]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        cache = ACache(Path(folder) / "hub")
        (Path(folder) / "beside").write_bytes(b"outside")
        for repo, revisions in repositories.items():
            for commit, files in revisions.items():
                cache.put(repo, files, commit, ref="main" if commit == MAIN else f"of-{commit[0]}")
        models = listed(cache)
        if not models:
            return
        name = data.draw(st.sampled_from(sorted(models)))
        before = contents(Path(folder))
        others = _readable({k: v for k, v in models.items() if k != name})

        rm(cache, name)

        after = contents(Path(folder))
        cache.scan()
        assert after.items() <= before.items()
        left = _readable(listed(cache))
        assert others == left
        for repo, revisions in repositories.items():
            for commit, files in revisions.items():
                _check_fetched(cache, repo, commit, files, models[name])


def _readable(models: dict[str, OnDisk]) -> dict[object, tuple[bytes, ...]]:
    """Each model by its contents' names, which do not change as the others go."""
    return {
        (m.repo, m.weights): tuple(file.read_bytes() for file in m.files[: m.parts])
        for m in models.values()
    }


def _check_fetched(
    cache: ACache, repo: str, commit: str, files: dict[str, bytes], gone: OnDisk
) -> None:
    """Of another repository all is there; of this one, all of a revision that still has a model."""
    cached = read_cached(cache.repository(repo))
    left = {r.commit for r in cached.revisions if models_of(r)}
    for path, data in files.items():
        found = cache.fetched(repo, path, commit)
        assert found in (None, data)
        is_weights = etag_of(path, data) in gone.weights
        if repo != gone.repo or (commit in left and not is_weights):
            assert found == data, (repo, commit, path)


def test_the_models_of_a_repository_are_told_apart_by_their_contents(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"old", Q8: b"eight"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"new", Q8: b"eight"})

    found = [
        (h.variant.quantization, first) for h, first in apart(read_cached(cache.repository(REPO)))
    ]

    assert sorted(map(str, found)) == sorted(
        map(str, [("Q4_K_M", True), ("Q8_0", True), ("Q4_K_M", False)])
    )


def test_a_part_of_what_another_program_fetches_stays_while_it_is_at_the_next_one(
    cache: ACache,
) -> None:
    """It holds the lock of the third part alone, and needs the first and second, too."""
    cache.put(REPO, {Q4: b"four"})
    third = cache.repository(REPO).lock("e" * 64)
    third.parent.mkdir(parents=True)
    before = contents(cache.folder)

    with FileLock(third), pytest.raises(InUse) as caught:
        rm(cache, f"hf:{REPO}:Q4_K_M")

    assert contents(cache.folder) == before
    assert "being fetched" in caught.value.what


def test_a_note_that_another_tool_removes_meanwhile_is_no_hindrance(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(REPO, {Q4: b"four"})
    notes = cache.repository(REPO).folder / ".no_exist" / MAIN
    notes.mkdir(parents=True)
    walk = os.walk

    def with_a_note_that_is_gone(top: Path, **options: bool) -> list[tuple[str, list[str], list]]:
        found = [(at, below, files) for at, below, files in walk(top, **options)]
        return [(at, b, [*f, "gone"] if Path(at) == notes else f) for at, b, f in found]

    monkeypatch.setattr(emptying.os, "walk", with_a_note_that_is_gone)
    rm(cache, f"hf:{REPO}:Q4_K_M")

    assert not cache.repository(REPO).folder.exists()
