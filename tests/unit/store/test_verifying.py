"""Files are what they are called, or are set aside so that nobody serves them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from filelock import FileLock
from huggingface_hub.utils import _shared_blobs

from localllm.formats.header import Format
from localllm.store.inventory import OnDisk, read_inventory
from localllm.store.leftovers import read_leftovers
from localllm.store.verifying import Checked, files_once, set_aside, verify_file
from tests.unit.store.a_cache import MAIN, OLD, ACache, etag_of

REPO, Q4 = "me/Small-GGUF", "small-Q4_K_M.gguf"
WEIGHTS = b"weights" * 400_000  # some pieces


@pytest.fixture
def cache(tmp_path: Path) -> ACache:
    return ACache(tmp_path / "hub")


def quiet(_path: str, _done: int, _size: int) -> None:
    """Who asks does not want to hear."""


def sweep(shared: Path, cache: Path) -> int:
    return _shared_blobs.sweep_shared_blob(shared, cache_dir=cache)


def models(cache: ACache) -> list[OnDisk]:
    return list(read_inventory((), cache.folder / "nowhere", cache.environment))


def checked(cache: ACache) -> dict[str, Checked]:
    once = files_once(models(cache))
    return {file.name: verify_file(model, file, cache.folder, quiet) for model, file in once}


def damage(cache: ACache, path: str, data: bytes) -> Path:
    blob = cache.repository(REPO).blob(etag_of(path, data))
    with blob.open("r+b") as opened:
        opened.seek(len(data) // 2)
        opened.write(b"\0")
    return blob


def seen(cache: ACache, model: OnDisk) -> Checked:
    return verify_file(model, model.path, cache.folder, quiet)


def elsewhere(file: Path, where: str) -> OnDisk:
    return OnDisk("x", None, Format.GGUF, 0, where, file, None, None, (file,), None)  # type: ignore[arg-type]


def test_files_are_good_by_sha256_and_small_ones_by_gits_hash(cache: ACache) -> None:
    cache.put(REPO, {"model.safetensors": WEIGHTS, "config.json": b"{}", "tokenizer.json": b""})

    found = checked(cache)

    assert {name: one.outcome for name, one in found.items()} == {
        "model.safetensors": "good",
        "config.json": "good",
        "tokenizer.json": "good",
    }
    assert found["model.safetensors"].size_bytes == len(WEIGHTS)


@pytest.mark.parametrize(
    ("path", "data"), [("model.safetensors", WEIGHTS), ("config.json", b"{} ")]
)
def test_a_byte_that_changed_is_noticed(cache: ACache, path: str, data: bytes) -> None:
    cache.put(REPO, {"model.safetensors": WEIGHTS, "config.json": b"{} "})
    damage(cache, path, data)

    found = checked(cache)

    assert [name for name, one in found.items() if one.outcome == "damaged"] == [path]
    assert etag_of(path, data) in (found[path].why or "")


def test_a_file_that_was_cut_off_is_noticed(cache: ACache) -> None:
    cache.put(REPO, {Q4: WEIGHTS})
    os.truncate(cache.repository(REPO).blob(etag_of(Q4, WEIGHTS)), 1000)

    assert checked(cache)[Q4].outcome == "damaged"


def test_a_file_is_told_of_as_it_is_read(cache: ACache) -> None:
    cache.put(REPO, {Q4: WEIGHTS})
    told: list[tuple[int, int]] = []
    (model,) = models(cache)

    verify_file(model, model.path, cache.folder, lambda _, done, size: told.append((done, size)))

    assert told[-1] == (len(WEIGHTS), len(WEIGHTS))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) == 3


def test_reading_it_is_no_use_of_it(cache: ACache) -> None:
    cache.put(REPO, {Q4: WEIGHTS}, used=1000.0)

    checked(cache)

    assert models(cache)[0].last_used == 1000.0


def test_what_is_damaged_is_set_aside_and_loses_its_names(cache: ACache) -> None:
    cache.put(REPO, {Q4: WEIGHTS}, OLD, ref=None)
    cache.put(REPO, {Q4: WEIGHTS, "small-Q8_0.gguf": b"eight"})
    blob = damage(cache, Q4, WEIGHTS)
    model = next(m for m in models(cache) if m.quant == "Q4_K_M")

    said = set_aside(model, seen(cache, model), cache.folder, sweep)

    assert "localllm pull" in said
    assert not blob.exists()
    assert blob.with_name(f"{blob.name}.quarantined").exists()
    assert [m.quant for m in models(cache)] == ["Q8_0"]
    assert cache.fetched(REPO, Q4) is None
    assert cache.fetched(REPO, Q4, OLD) is None
    assert cache.scan()[REPO] == {"a/small-Q8_0.gguf"}
    assert [one.kind for one in read_leftovers(cache.folder, 4e9)] == ["quarantined"]


def test_a_good_file_that_came_meanwhile_is_not_set_aside_for_the_one_before(
    cache: ACache,
) -> None:
    cache.put(REPO, {Q4: WEIGHTS})
    damage(cache, Q4, WEIGHTS)
    (model,) = models(cache)
    first, second = seen(cache, model), seen(cache, model)
    set_aside(model, first, cache.folder, sweep)
    cache.put(REPO, {Q4: WEIGHTS})

    said = set_aside(model, second, cache.folder, sweep)

    assert "another file by now" in said
    assert cache.fetched(REPO, Q4) == WEIGHTS


def test_shared_contents_that_are_damaged_lose_this_repositorys_names(cache: ACache) -> None:
    for repo in (REPO, "you/Other"):
        cache.put(repo, {Q4: b"four"})
        shared = cache.share(repo, etag_of(Q4, b"four"), "ab" + "0" * 62)
    shared.chmod(0o600)
    shared.write_bytes(b"fore")
    model = next(m for m in models(cache) if m.repo == REPO)

    set_aside(model, seen(cache, model), cache.folder, sweep)

    assert {m.repo for m in models(cache)} == {"you/Other"}
    assert shared.exists()


def test_what_a_program_writes_now_is_left(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four"})
    (model,) = models(cache)
    lock = cache.repository(REPO).lock(etag_of(Q4, b"four"))
    lock.parent.mkdir(parents=True)

    with FileLock(lock):
        said = set_aside(model, seen(cache, model), cache.folder, sweep)

    assert "left as it is" in said
    assert cache.fetched(REPO, Q4) == b"four"


def test_ollamas_files_are_called_by_their_hash_too_and_left_where_they_are(
    cache: ACache, tmp_path: Path
) -> None:
    file = tmp_path / f"sha256-{hashlib.sha256(b'four').hexdigest()}"
    outcomes = []
    for data in (b"four", b"fore"):
        file.write_bytes(data)
        outcomes.append(verify_file(elsewhere(file, "ollama"), file, cache.folder, quiet))

    said = set_aside(elsewhere(file, "ollama"), outcomes[-1], cache.folder, sweep)

    assert [one.outcome for one in outcomes] == ["good", "damaged"]
    assert "another program's" in said
    assert file.read_bytes() == b"fore"


@pytest.mark.parametrize("where", ["lmstudio", "package"])
def test_of_other_files_nobody_knows_the_hash_and_they_are_not_read(
    cache: ACache, tmp_path: Path, where: str
) -> None:
    file = tmp_path / Q4
    file.write_bytes(b"four")
    told: list[int] = []

    found = verify_file(elsewhere(file, where), file, cache.folder, lambda _, n, __: told.append(n))

    assert (found.outcome, found.size_bytes, told) == ("unknown", 4, [])
    assert found.why is not None


def test_a_file_that_is_no_link_to_contents_is_unknown(cache: ACache) -> None:
    snapshot = cache.put(REPO, {"README.md": b"hi"})
    (snapshot / Q4).write_bytes(b"four")

    assert checked(cache)[Q4].outcome == "unknown"


def test_a_file_that_has_gone_is_unknown(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four"})
    (model,) = models(cache)
    cache.repository(REPO).snapshot(MAIN, Q4).unlink()

    assert verify_file(model, model.path, cache.folder, quiet).outcome == "unknown"


def test_what_two_models_share_is_read_once(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", "small-Q8_0.gguf": b"eight", "mmproj-F16.gguf": b"see"})

    assert len(files_once(models(cache))) == 3
