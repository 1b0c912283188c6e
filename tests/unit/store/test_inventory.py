"""Every model on this disk is listed once, under the name that serves it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from localllm.catalog.profile import Embedded, Profile
from localllm.catalog.repositories import FileFormat, Repository, Variant
from localllm.formats.header import Format
from localllm.store import inventory
from localllm.store.inventory import OnDisk, printable, read_inventory
from localllm.store.local import find_model
from tests.unit.store.a_cache import MAIN, OLD, OLDER, ACache, etag_of

SMALL = Profile(
    1,
    "small-8b",
    "Small",
    "mit",
    repositories=(
        Repository("me/Small-GGUF", FileFormat.GGUF, (Variant("Q4_K_M"), Variant("Q8_0"))),
        Repository("al/Small-GGUF", FileFormat.GGUF, (Variant("Q4_K_M"),)),
        Repository("mlx/Small-4bit", FileFormat.MLX, (Variant("4bit"),)),
    ),
    embedded=Embedded("a-package", "a_package/small-Q2_K.gguf", 4),
)
REPO = "me/Small-GGUF"
Q4, Q8 = "small-Q4_K_M.gguf", "small-Q8_0.gguf"
MLX = b'{"quantization":{}}'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ACache:
    monkeypatch.setenv("HOME", str(tmp_path))
    return ACache(tmp_path / "hub")


def listed(cache: ACache, *catalog: Profile) -> dict[str, OnDisk]:
    found = read_inventory(catalog, cache.folder.parent / "data", cache.environment)
    return {model.name: model for model in found}


def put_lm_studio(cache: ACache, repo: str, name: str, data: bytes = b"GGUF") -> Path:
    file = cache.folder.parent / ".lmstudio" / "models" / repo / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_without_any_folder_there_is_nothing(cache: ACache) -> None:
    assert listed(cache, SMALL) == {}


@pytest.mark.parametrize(
    ("repo", "files", "names"),
    [
        (REPO, [Q4], ["small-8b"]),
        (REPO, [Q4, Q8], ["small-8b:Q4_K_M", "small-8b:Q8_0"]),
        (REPO, ["small-Q2_K.gguf"], ["hf:me/Small-GGUF:Q2_K"]),
        ("mlx/Small-4bit", ["config.json", "model.safetensors"], ["small-8b"]),
        ("who/Other--x-GGUF", ["other-Q5_K_M.gguf"], ["hf:who/Other--x-GGUF:Q5_K_M"]),
        ("who/Other", ["other.gguf"], ["hf:who/Other"]),
        ("who/Two", ["a-Q4_0.gguf", "b-Q4_0.gguf"], ["hf:who/Two:a-Q4_0", "hf:who/Two:b-Q4_0"]),
        ("who/Plain", ["config.json", "model.safetensors"], ["hf:who/Plain"]),
        ("gpt2", ["config.json", "model.safetensors"], ["hf:gpt2"]),
        ("who/Sets", ["Q8_0/big-Q8_0-00001-of-00001.gguf"], ["hf:who/Sets:Q8_0"]),
        ("who/Words", ["README.md", "config.json"], []),
    ],
)
def test_a_model_is_named_by_what_serves_it(
    cache: ACache, repo: str, files: list[str], names: list[str]
) -> None:
    cache.put(
        repo, {name: MLX if name == "config.json" else b"GG" + name.encode() for name in files}
    )

    assert list(listed(cache, SMALL)) == names


def test_each_name_of_a_repository_finds_the_file_that_it_is_listed_with(cache: ACache) -> None:
    cache.put("who/Two", {"a-Q4_0.gguf": b"a", "b-Q4_0.gguf": b"b", "a-Q8_0.gguf": b"c"})

    for name, model in listed(cache).items():
        found = find_model(name, (), cache.folder.parent, cache.environment)
        assert found.file == model.path


def test_of_two_repositories_the_catalogs_first_has_the_catalogs_name(cache: ACache) -> None:
    for repo in ("al/Small-GGUF", REPO):
        cache.put(repo, {Q4: repo.encode()})

    found = listed(cache, SMALL)

    assert {name: model.repo for name, model in found.items()} == {
        "small-8b": REPO,
        "hf:al/Small-GGUF:Q4_K_M": "al/Small-GGUF",
    }


def test_what_is_there_twice_is_served_from_the_cache_and_the_other_by_its_path(
    cache: ACache,
) -> None:
    cache.put(REPO, {Q4: b"GGUF"})
    file = put_lm_studio(cache, REPO, Q4)

    found = listed(cache, SMALL)

    assert found["small-8b"].where == "huggingface"
    assert (found[str(file)].where, found[str(file)].repo) == ("lmstudio", REPO)


def test_a_packages_model_has_its_quantizations_name_before_all_others(cache: ACache) -> None:
    packaged = cache.folder.parent / "data" / "embedded" / "a-package" / "a_package"
    packaged.mkdir(parents=True)
    (packaged / "small-Q2_K.gguf").write_bytes(b"GGUF")
    cache.put(REPO, {Q4: b"four"})

    found = listed(cache, SMALL)

    assert {name: model.where for name, model in found.items()} == {
        "small-8b:Q2_K": "package",
        "small-8b:Q4_K_M": "huggingface",
    }


def test_ollamas_models_are_listed_by_ollamas_name(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = inventory.OllamaModel("qwen3:8b-q4_K_M", Path("/b"), 5, Path("/p"), (), ("gone",))
    monkeypatch.setattr(inventory, "ollama_models", lambda _: [model])

    found = listed(cache)["ollama:qwen3:8b-q4_K_M"]

    assert (found.where, found.quant, found.size_bytes) == ("ollama", "Q4_K_M", 5)
    assert (found.files, found.missing) == ((Path("/b"), Path("/p")), ("gone",))


def test_what_several_revisions_hold_is_listed_once_with_the_branchs_commit(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"four"}, MAIN)
    cache.put(REPO, {Q4: b"four"}, OLDER, ref=None)

    (found,) = listed(cache).values()

    assert found.commit == MAIN
    assert found.path == cache.repository(REPO).snapshot(MAIN, Q4)


def test_other_contents_of_an_older_revision_are_an_entry_of_their_own(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"old!"}, OLD, ref=None)
    cache.put(REPO, {Q4: b"new"})

    found = listed(cache, SMALL)

    assert {name: model.size_bytes for name, model in found.items()} == {
        "small-8b": 3,
        f"hf:me/Small-GGUF:Q4_K_M@{OLD}": 4,
    }


def test_the_revision_that_is_whole_comes_before_the_newer_one_that_is_not(cache: ACache) -> None:
    first, second = "big-Q4_0-00001-of-00002.gguf", "big-Q4_0-00002-of-00002.gguf"
    cache.put(REPO, {first: b"one", second: b"two"}, OLD, ref=None)
    cache.put(REPO, {first: b"one"})
    cache.put("me/Half", {second: b"two"})

    found = listed(cache)

    whole, half = found[f"hf:{REPO}:Q4_0"], found["hf:me/Half:Q4_0"]
    assert len(found) == 2
    assert (whole.commit, whole.missing, whole.size_bytes) == (OLD, (), 6)
    assert half.missing == (first,)


def test_its_size_is_that_of_all_its_files_and_its_format_is_told(cache: ACache) -> None:
    cache.put("a/mlx", {"config.json": MLX, "model.safetensors": b"w" * 10, "tokenizer.json": b"t"})
    cache.put("a/plain", {"config.json": b"{}", "model.safetensors": b"w" * 10})
    cache.put("a/sees", {Q4: b"w" * 10, "mmproj-F16.gguf": b"pp"})

    found = listed(cache)

    assert found["hf:a/mlx"].format is Format.MLX
    assert found["hf:a/mlx"].size_bytes == 10 + len(MLX) + 1
    assert found["hf:a/plain"].format is Format.SAFETENSORS
    assert found["hf:a/plain"].path == cache.repository("a/plain").snapshot(MAIN)
    sees = found["hf:a/sees:Q4_K_M"]
    assert (sees.size_bytes, [f.name for f in sees.files]) == (12, [Q4, "mmproj-F16.gguf"])


def test_it_was_last_used_when_its_weights_were_last_read_or_written(cache: ACache) -> None:
    cache.put(REPO, {Q4: b"four", "mmproj-F16.gguf": b"p"})
    blobs = cache.repository(REPO).blobs
    os.utime(blobs / etag_of(Q4, b"four"), (2000.0, 1000.0))

    assert listed(cache)[f"hf:{REPO}:Q4_K_M"].last_used == 2000.0


def test_looking_at_it_is_no_use_of_it(cache: ACache) -> None:
    cache.put("a/b", {"config.json": b"{}", "model.safetensors": b"w", "x-Q4_0.gguf": b"GGUF"})
    for blob in cache.repository("a/b").blobs.iterdir():
        os.utime(blob, (1000.0, 1000.0))

    again = [listed(cache) for _ in range(2)][1]

    assert {model.last_used for model in again.values()} == {1000.0}


def test_absurd_names_broken_links_and_loops_spoil_nothing(cache: ACache) -> None:
    snapshot = cache.put("evil/\x1b[31mred", {"bad\x1b]0;x\x07-Q4_0.gguf": b"x", Q8: b"y"})
    (snapshot / "broken-Q4_0.gguf").symlink_to("../../blobs/none")
    (snapshot / "loop-Q4_0.gguf").symlink_to("loop-Q4_0.gguf")
    (snapshot / "up").symlink_to("..")
    (snapshot / "folder-Q4_0.gguf").mkdir()
    os.mkfifo(snapshot / "pipe-Q4_0.gguf")
    (cache.folder / "models--a--file").write_text("no folder")
    (cache.folder / "models--a--loop").symlink_to("models--a--loop")
    (cache.folder / "models--").mkdir()
    (cache.folder / os.fsdecode(b"models--a--\xff")).mkdir()

    found = listed(cache)

    assert len(found) == 2
    assert all(name.isprintable() for name in found)
    assert {model.size_bytes for model in found.values()} == {1}


def test_a_folder_that_nobody_may_read_spoils_nothing(
    cache: ACache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put("a/closed", {Q4: b"x"})
    cache.put("a/open", {Q4: b"x"})
    closed, scandir = str(cache.repository("a/closed").folder), os.scandir

    def refuse(path: str) -> object:  # who runs as root can read everything
        if str(path).startswith(closed):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    assert list(listed(cache)) == ["hf:a/open:Q4_K_M"]


def test_a_thousand_files_of_three_hundred_repositories_take_well_under_a_second(
    cache: ACache,
) -> None:
    for number in range(300):
        cache.put(f"o/r{number}", {Q4: b"GGUF%d" % number, Q8: b"x", "README.md": b"hi"})
    listed(cache)
    started = time.process_time()  # others may be busy, too

    found = listed(cache, SMALL)

    assert len(found) == 600
    assert time.process_time() - started < 1.0  # 0.1 s on two slow cores


@pytest.mark.parametrize(
    ("text", "shown"), [("a/b", "a/b"), ("\x1b[0m", "?[0m"), ("a\u202eb", "a?b"), ("\udcff", "?")]
)
def test_what_is_no_text_is_not_shown(text: str, shown: str) -> None:
    assert printable(text) == shown
