"""What is ours goes by its name; what is not stays, and no link is followed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from localllm.installation.belongings import hub_models, remove, survey
from localllm.paths import Paths

WRITTEN = Path(__file__).parents[2] / "data" / "state" / "v1"


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(*(tmp_path / each for each in ("config", "data", "state", "cache")))
    shutil.copytree(WRITTEN, paths.state)
    paths.data.mkdir()
    (paths.state / "engines").rename(paths.data / "engines")
    (paths.config / "models").mkdir(parents=True)
    for name in ("config.toml", "models/mine.toml"):
        (paths.config / name).write_text("format = 1\n")
    return paths


def clear(paths: Paths, keeps: set[Path] | None = None) -> None:
    for one in survey(paths):
        assert remove(one, keeps=keeps or set()) == []


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_all_that_was_written_goes_and_so_do_the_folders(paths: Paths, tmp_path: Path) -> None:
    clear(paths)

    assert left(tmp_path) == []


def test_places_that_are_one_folder_are_cleared_as_one(paths: Paths, tmp_path: Path) -> None:
    for place in (paths.config, paths.data):
        shutil.copytree(place, paths.state, dirs_exist_ok=True)
        shutil.rmtree(place)
    one = replace(paths, config=paths.state, data=paths.state)

    found = survey(one)
    clear(one)

    assert len([each for each in found if each.files]) == 1
    assert left(tmp_path) == []


def test_what_is_not_ours_stays_and_is_told(paths: Paths, tmp_path: Path) -> None:
    decoys = {
        paths.state / "thesis.txt",
        paths.state / "agents" / "idea.txt",
        paths.state / "serving.json.bak",
        paths.config / "letters.md",
    }
    for decoy in decoys:
        decoy.parent.mkdir(exist_ok=True)
        decoy.write_text("mine")

    told = {file for one in survey(paths) for file in one.foreign}
    clear(paths)

    assert told == decoys
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == decoys


def test_links_go_and_what_they_lead_to_stays(paths: Paths, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    for folder in ("lib", "headers"):
        (outside / folder).mkdir(parents=True)
    for name in ("precious.gguf", "lib/libggml.so", "keys.json", "headers/a.list"):
        (outside / name).write_text("precious")
    before = left(outside)
    (paths.data / "engines" / "one" / "model.gguf").symlink_to(outside / "precious.gguf")
    (paths.data / "engines" / "linked").symlink_to(outside)
    (paths.state / "keys.json").unlink()
    (paths.state / "keys.json").symlink_to(outside / "keys.json")
    (paths.state / "captures").symlink_to(outside)
    paths.cache.symlink_to(outside)

    found = {str(file) for one in survey(paths) for file in one.files}
    clear(paths)

    assert not [file for file in found if "linked/" in file or "/cache/" in file]

    assert left(outside) == before
    assert left(paths.state) == ["captures"], "a link of a name that is no file's is not ours"
    assert left(paths.data) == ["engines", "engines/linked"]
    assert paths.cache.is_symlink()


def test_what_is_to_be_kept_stays(paths: Paths) -> None:
    keeps = {file for one in survey(paths) for file in one.settings}

    clear(paths, keeps)

    assert left(paths.config) == ["config.toml", "models", "models/mine.toml"]
    assert not paths.state.exists()


def test_models_are_counted_by_their_contents(tmp_path: Path) -> None:
    blobs = tmp_path / "models--me--Tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "aa").write_bytes(bytes(1000))
    snapshot = tmp_path / "models--me--Tiny" / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (snapshot / "a.gguf").symlink_to(blobs / "aa")
    (tmp_path / "datasets--x").mkdir()

    assert hub_models(tmp_path) == (1, 1000)
    assert hub_models(tmp_path / "none") == (0, 0)


def test_a_home_that_is_shared_with_other_things_keeps_all_of_them(
    paths: Paths, tmp_path: Path
) -> None:
    """As with LOCALLLM_HOME=$HOME: folders called config, data, state and cache are not ours alone."""
    others = [
        *("config/nvim/plugins.toml", "config/models/notes/a.toml", "data/engines/v8/engine.cc"),
        *("data/previous/photos.zip", "state/thesis.draft", "state/logs/thesis.txt"),
        *("state/other.lock", "cache/other.lock", "cache/upgrade-notes/all.md"),
    ]
    for name in others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "data" / "empty").mkdir()

    clear(paths)

    assert [name for name in left(tmp_path) if (tmp_path / name).is_file()] == sorted(others)
    assert (tmp_path / "data" / "empty").is_dir()


def test_a_folder_where_nothing_of_ours_can_be_is_told_in_a_line_and_not_entered(
    paths: Paths,
) -> None:
    git = paths.config / ".git" / "objects"
    git.mkdir(parents=True)
    (git / "0a").write_text("blob")

    told = [file for one in survey(paths) for file in one.foreign]

    assert told == [git.parent]


def test_what_another_user_has_written_is_none_of_ours(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localllm.installation.belongings.os.geteuid", lambda: 4711)

    clear(paths)

    assert (paths.state / "serving.json").exists()


def test_a_build_whose_manifest_is_there_goes_whole(paths: Paths) -> None:
    (paths.data / "engines" / "one" / "lib" / "deep").mkdir(parents=True)
    (paths.data / "engines" / "one" / "lib" / "deep" / "libggml.so").write_text("x")

    clear(paths)

    assert not paths.data.exists()
