"""Where files live, and that looking for them makes none."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from localllm.paths import Paths, bundled_profiles, paths_for

PROPERTIES = (
    *("config_file", "logs", "daemon_log", "daemon_file", "lock", "serving", "sockets"),
    *("prefixes", "prefix_key"),
)


def everything(paths: Paths) -> list[Path]:
    names = [*(f.name for f in fields(paths)), *PROPERTIES]
    return [getattr(paths, name) for name in names if name != "runtime"]


def test_localllm_home_moves_every_file_and_creates_none(tmp_path: Path) -> None:
    places = everything(paths_for({"LOCALLLM_HOME": str(tmp_path / "home")}))

    assert all(place.is_relative_to(tmp_path / "home") for place in places)
    assert len(set(places)) == len(places)
    assert list(tmp_path.iterdir()) == []


def test_localllm_home_may_be_relative_or_start_with_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))

    assert paths_for({"LOCALLLM_HOME": "here"}).data == tmp_path / "here" / "data"
    assert paths_for({"LOCALLLM_HOME": "~/there"}).data == tmp_path / "me" / "there" / "data"


@pytest.mark.parametrize("environment", [{}, {"LOCALLLM_HOME": ""}])
def test_without_it_files_are_where_the_system_wants_them_and_none_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)

    places = everything(paths_for(environment))

    assert all(place.is_relative_to(tmp_path) and "localllm" in place.parts for place in places)
    assert list(tmp_path.iterdir()) == []


def test_engines_sockets_may_be_elsewhere_and_nothing_else_is() -> None:
    usual, moved = (
        paths_for({"LOCALLLM_HOME": "/home", **more})
        for more in ({}, {"LOCALLLM_SOCKETS": "/run/x"})
    )

    assert (usual.runtime, moved.runtime) == (None, Path("/run/x"))
    assert usual.sockets == Path("/home/state/sockets")
    assert moved.sockets == Path("/run/x")
    assert [a for a, b in zip(everything(usual), everything(moved), strict=True) if a != b] == [
        usual.sockets
    ]


def test_a_checkout_has_its_profiles_beside_the_package() -> None:
    folder = bundled_profiles()

    assert folder == Path(__file__).parents[2] / "profiles"
    assert all(tomllib.loads(f.read_text()) for f in folder.glob("*/*.toml"))
    assert {f.name for f in folder.iterdir()} >= {"hardware", "models"}
