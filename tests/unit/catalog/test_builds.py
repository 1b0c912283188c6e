"""Pins of builds: those that are shipped are whole, a user's own go first, a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.catalog.builds import Build, read_builds
from localllm.errors import ConfigError
from localllm.paths import bundled_profiles

SHIPPED = read_builds(bundled_profiles())
PIN = """
[[builds]]
id = "{id}"
title = "mine"
engine = "llama-server"
version = "b1"
drives = "cpu"
os = "linux"
arch = "x86_64"
licence = "MIT"
source = "me"
program = "llama-server"
{more}
"""
ARCHIVE = f"""
[[builds.archives]]
url = "https://host/a.tar.gz"
sha256 = "{"a" * 64}"
size = 1
"""


def own(folder: Path, text: str) -> Path:
    (folder / "engines").mkdir(exist_ok=True)
    (folder / "engines" / "own.toml").write_text("format = 1\n" + text)
    return folder


@pytest.mark.parametrize(
    ("os", "arch", "drives"),
    [
        ("linux", "x86_64", {"cuda", "vulkan", "rocm", "cpu"}),
        ("linux", "arm64", {"cuda", "vulkan", "cpu"}),
        ("darwin", "arm64", {"metal"}),
    ],
)
def test_there_is_a_build_for_what_people_have(os: str, arch: str, drives: set[str]) -> None:
    found = {b.drives.value for b in SHIPPED if (b.os, b.arch) == (os, arch)}

    assert found == drives


@pytest.mark.parametrize("build", SHIPPED, ids=lambda build: build.id)
def test_a_cuda_build_brings_nvidias_libraries_and_says_what_it_asks_of_the_driver(
    build: Build,
) -> None:
    if build.drives.value != "cuda":
        assert not build.native
        return
    assert {p.name.removesuffix("-cu12") for p in build.packages} == {
        "nvidia-cuda-runtime",
        "nvidia-cublas",
    }
    assert build.libraries
    assert build.least_driver
    assert build.native
    assert build.jit_driver


def test_ids_and_hashes_are_each_used_once() -> None:
    hashes = [a.sha256 for b in SHIPPED for a in b.archives]

    assert len({b.id for b in SHIPPED}) == len(SHIPPED)
    assert len(set(hashes)) == len(hashes)


def test_a_users_own_build_goes_before_those_that_are_shipped(tmp_path: Path) -> None:
    builds = read_builds(bundled_profiles(), own(tmp_path, PIN.format(id="own", more=ARCHIVE)))

    assert [b.id for b in builds] == ["own", *(b.id for b in SHIPPED)]


def test_a_users_own_build_replaces_the_one_of_its_id(tmp_path: Path) -> None:
    id_ = SHIPPED[0].id
    builds = read_builds(bundled_profiles(), own(tmp_path, PIN.format(id=id_, more=ARCHIVE)))

    assert [b.title for b in builds if b.id == id_] == ["mine"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PIN.format(id="own", more=""), "neither `archives` nor `packages`"),
        (PIN.format(id="own", more=ARCHIVE).replace('program = "llama-server"', ""), "`program`"),
        (PIN.format(id="own", more=ARCHIVE.replace("a" * 64, "abc")), "sha256"),
        (PIN.format(id="own", more=ARCHIVE.replace("https", "http")), "url"),
        (PIN.format(id="own", more='colour = "red"' + ARCHIVE), "colour"),
        ("[[", "Invalid"),
    ],
    ids=["nothing to fetch", "no program", "no hash", "not encrypted", "unknown field", "no TOML"],
)
def test_a_pin_that_could_not_be_installed_is_an_error_that_names_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    folder = own(tmp_path, text)

    with pytest.raises(ConfigError) as caught:
        read_builds(bundled_profiles(), folder)

    assert "own.toml" in caught.value.what
    assert said in caught.value.why


def test_a_later_format_is_named_before_its_fields(tmp_path: Path) -> None:
    folder = own(tmp_path, "")
    (folder / "engines" / "own.toml").write_text("format = 2\nnew = true\n")

    with pytest.raises(ConfigError, match="cannot be read") as caught:
        read_builds(folder)

    assert "it has format 2, this version reads 1" in caught.value.why
