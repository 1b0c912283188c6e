"""What a user types, and the file that it finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localllm.catalog.profile import Embedded, Profile
from localllm.errors import ModelNotFound
from localllm.formats.header import Format
from localllm.store.local import find_model, model_id
from localllm.store.places import hub_cache, snapshots
from localllm.store.stored import StoredModel
from tests.unit.formats.a_gguf import a_header

EMBEDDED = Embedded(package="a-package", file="a_package/Tiny.gguf", size=5)
CATALOG = (
    Profile(
        format=1, id="tiny", name="Tiny", license="mit", aliases=("tiny-1b",), embedded=EMBEDDED
    ),
    Profile(format=1, id="large", name="Large", license="mit"),
)


def a_file(file: Path, text: str = "bytes") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def a_download(cache: Path, repo: str, name: str, revision: str = "c0ffee") -> Path:
    """A file as huggingface_hub keeps it: a link in a snapshot, to a blob."""
    home = cache / f"models--{repo.replace('/', '--')}"
    blob = a_file(home / "blobs" / f"{revision}-{Path(name).name}")
    link = home / "snapshots" / revision / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link


class Disk:
    """One user's disk."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.cache = root / "hub"

    def find(self, wanted: str | Path) -> StoredModel:
        environment = {
            "HF_HUB_CACHE": str(self.cache),
            "OLLAMA_MODELS": str(self.data / "no-ollama"),
            "HF_ENDPOINT": "https://mirror.example/hf",
        }
        return find_model(str(wanted), CATALOG, self.data, environment)

    def refusal(self, wanted: str | Path) -> ModelNotFound:
        with pytest.raises(ModelNotFound) as caught:
            self.find(wanted)
        return caught.value


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where LM Studio keeps its models
    return Disk(tmp_path)


@pytest.mark.parametrize("wanted", ["tiny", "TINY", "tiny-1b"])
def test_a_catalog_name_or_alias_finds_the_embedded_file(disk: Disk, wanted: str) -> None:
    file = a_file(disk.data / "embedded" / "a-package" / "a_package" / "Tiny.gguf")

    found = disk.find(wanted)

    assert found == StoredModel("tiny", file, 5, "pypi:a-package", ("tiny-1b",))


def test_a_catalog_name_goes_before_a_folder_of_the_same_name(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file(disk.data / "embedded" / "a-package" / "a_package" / "Tiny.gguf")
    a_file(tmp_path / "tiny" / "other.gguf")
    monkeypatch.chdir(tmp_path)

    assert disk.find("tiny").id == "tiny"


@pytest.mark.parametrize("wanted", ["tiny", "large"])
def test_a_known_model_that_is_not_on_disk_says_so(disk: Disk, wanted: str) -> None:
    assert disk.refusal(wanted).what == f"{wanted} is known, but not on this disk."


def test_a_path_finds_a_file_of_the_users_own(disk: Disk, tmp_path: Path) -> None:
    file = a_file(tmp_path / "My Model-Q4_K_M.gguf")

    assert disk.find(file) == StoredModel("my-model-q4_k_m", file, 5, None)


def test_a_path_may_be_relative_or_start_with_a_tilde(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = a_file(tmp_path / "m.gguf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert disk.find("m.gguf").file == file
    assert disk.find("~/m.gguf").file == file


@pytest.mark.parametrize("wanted", ["/nowhere/m.gguf", "~nobody-here/m.gguf", f"{'x' * 300}.gguf"])
def test_a_path_without_a_file_is_named_whole(disk: Disk, wanted: str) -> None:
    error = disk.refusal(wanted)

    assert error.what.startswith("There is no file /")
    assert wanted.lstrip("/") in error.what


def test_a_folder_stands_for_its_only_model_whatever_else_is_in_it(
    disk: Disk, tmp_path: Path
) -> None:
    model = a_file(tmp_path / "models" / "m.gguf")
    a_file(tmp_path / "models" / "mmproj-m-F16.gguf")
    a_file(tmp_path / "models" / "README.md")

    assert disk.find(tmp_path / "models").file == model


@pytest.mark.parametrize(
    ("names", "said"), [(["a.gguf", "b.gguf"], "a.gguf, b.gguf"), ([], "none")]
)
def test_a_folder_with_any_other_number_of_models_lists_them(
    disk: Disk, tmp_path: Path, names: list[str], said: str
) -> None:
    folder = a_file(tmp_path / "models" / "mmproj.gguf").parent
    for name in names:
        a_file(folder / name)

    assert disk.refusal(folder).why == f"its .gguf files: {said}"


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("hf:me/Tiny-GGUF:Q4_K_M", "Tiny-Q4_K_M.gguf"),
        ("me/Tiny-GGUF:q4_k_m", "Tiny-Q4_K_M.gguf"),
        ("me/Tiny-GGUF:Q8_0", "sub/tiny.Q8_0.gguf"),
        ("me/Tiny-GGUF:F16", "Tiny-F16.gguf"),
        ("me/Tiny-GGUF:BF16", "Tiny-BF16.gguf"),
    ],
)
def test_a_repository_and_quantization_find_one_file_of_the_hub_cache(
    disk: Disk, wanted: str, name: str
) -> None:
    there = ("Tiny-Q4_K_M.gguf", "sub/tiny.Q8_0.gguf", "Tiny-F16.gguf", "Tiny-BF16.gguf")
    links = {n: a_download(disk.cache, "me/Tiny-GGUF", n) for n in (*there, "mmproj-Q8_0.gguf")}

    found = disk.find(wanted)

    assert (found.file, found.repo, found.file_bytes) == (links[name], "me/Tiny-GGUF", 5)
    assert found.id == model_id(Path(name))


def test_a_repository_alone_is_enough_where_it_has_one_model(disk: Disk) -> None:
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", revision="0a")
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", revision="0b")
    a_download(disk.cache, "me/tiny", "mmproj-F16.gguf")

    assert disk.find("hf:me/tiny").id == "t-q8_0"


@pytest.mark.parametrize(
    ("wanted", "there", "fetched"),
    [
        ("hf:me/tiny", "t-Q4_0.gguf, t-Q8_0.gguf", "hf:me/tiny:QUANT"),
        ("hf:me/tiny:F16", "none", "hf:me/tiny:F16"),
        ("you/tiny", "none", "you/tiny"),
    ],
)
def test_a_repository_that_is_not_one_file_says_what_there_is_and_how_to_get_more(
    disk: Disk, wanted: str, there: str, fetched: str
) -> None:
    for name in ("t-Q4_0.gguf", "t-Q8_0.gguf"):
        a_download(disk.cache, "me/tiny", name)

    error = disk.refusal(wanted)

    assert error.what.startswith(wanted)
    assert error.why == f"{disk.cache} has of it: {there}"
    assert error.fix == f"localllm pull {fetched}"


def test_of_two_commits_the_one_that_main_names_is_taken(disk: Disk) -> None:
    older = a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", revision="0a")
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", revision="0b")
    a_file(disk.cache / "models--me--tiny" / "refs" / "main", "0a")

    assert disk.find("me/tiny").file == older


OLD, NEW = "0a" + "0" * 38, "0b" + "0" * 38


@pytest.mark.parametrize(
    ("wanted", "commit"),
    [
        ("me/tiny@v1", OLD),
        ("hf:me/tiny:Q8_0@refs/pr/1", OLD),
        (f"me/tiny@{NEW}", NEW),
        (f"me/tiny@{OLD[:7]}", OLD),
        ("https://huggingface.co/me/tiny/tree/v1", OLD),
        ("https://huggingface.co/me/tiny", NEW),
        ("https://mirror.example/hf/me/tiny/blob/main/t-Q8_0.gguf", NEW),
        ("hf.co/me/tiny/resolve/refs%2Fpr%2F1/t-Q8_0.gguf?download=true", OLD),
    ],
)
def test_a_revision_is_found_by_its_name_its_commit_or_the_address_of_its_page(
    disk: Disk, wanted: str, commit: str
) -> None:
    files = {c: a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", c) for c in (OLD, NEW)}
    for ref, meant in (("main", NEW), ("v1", OLD), ("refs/pr/1", OLD)):
        a_file(disk.cache / "models--me--tiny" / "refs" / ref, meant)

    assert disk.find(wanted).file == files[commit]


@pytest.mark.parametrize("revision", ["v2", "0a", "../refs/main", "0a/../../refs", OLD[:7] + "1"])
def test_a_revision_that_is_not_here_is_not_found(disk: Disk, revision: str) -> None:
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", OLD)

    assert disk.refusal(f"me/tiny@{revision}").exit_code == 5


def test_no_name_of_a_revision_leads_out_of_the_refs(disk: Disk) -> None:
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf", OLD)
    outside = a_file(disk.cache / "models--me--tiny" / "outside", OLD)

    for revision in ("../outside", str(outside), "a\0b", "x" * 300):
        assert snapshots(disk.cache, "me/tiny", revision) == []


def test_lm_studio_does_not_tell_which_revision_it_has(disk: Disk, tmp_path: Path) -> None:
    a_file(tmp_path / "home" / ".lmstudio" / "models" / "me" / "tiny" / "t-Q8_0.gguf")

    assert disk.refusal("me/tiny@v1").fix == "localllm pull me/tiny@v1"


def test_an_address_of_a_file_finds_that_file_and_its_parts(disk: Disk) -> None:
    site = "https://huggingface.co/me/big/blob/main/"
    for quant in ("Q4_0", "Q8_0"):
        for number in (1, 2):
            a_download(disk.cache, "me/big", f"{quant}/big-0000{number}-of-00002.gguf")

    found = disk.find(f"{site}Q8_0/big-00002-of-00002.gguf")

    assert (found.file.parent.name, found.file.name[:9], found.parts) == ("Q8_0", "big-00001", 2)
    assert disk.refusal(f"{site}Q6_K/big.gguf").why.endswith("none")


@pytest.mark.parametrize("url", ["https://github.com/me/m.gguf", "https://hf.co/datasets/a/b"])
def test_an_address_that_names_no_model_is_not_taken_for_a_path(disk: Disk, url: str) -> None:
    assert url in disk.refusal(url).what


PARTS = tuple(f"Big-Q4_K_M-0000{number}-of-00003.gguf" for number in (1, 2, 3))


@pytest.mark.parametrize("named", PARTS)
def test_any_part_of_a_set_stands_for_all_of_it(disk: Disk, tmp_path: Path, named: str) -> None:
    files = [a_file(tmp_path / "m" / name, "x" * size) for size, name in enumerate(PARTS, 1)]

    found = disk.find(tmp_path / "m" / named)

    assert (found.file, found.file_bytes, found.parts) == (files[0], 6, 3)
    assert found.id == "big-q4_k_m"


def test_a_folder_that_holds_one_set_holds_one_model(disk: Disk, tmp_path: Path) -> None:
    files = [a_file(tmp_path / "m" / name) for name in PARTS]

    assert disk.find(tmp_path / "m").file == files[0]


@pytest.mark.parametrize("wanted", ["", PARTS[0]])
def test_a_set_with_a_part_missing_names_it(disk: Disk, tmp_path: Path, wanted: str) -> None:
    for name in (PARTS[0], PARTS[2]):
        a_file(tmp_path / "m" / name)

    error = disk.refusal(tmp_path / "m" / wanted)

    assert error.why == f"missing 1: {PARTS[1]}"


def test_the_projector_beside_a_model_is_remembered(disk: Disk, tmp_path: Path) -> None:
    model = a_file(tmp_path / "m" / "sees-Q4_0.gguf")
    projector = a_file(tmp_path / "m" / "mmproj-F16.gguf")
    a_file(tmp_path / "m" / "mmproj-F32.gguf")

    assert disk.find(model).projector == projector
    assert disk.find(tmp_path / "m").projector == projector


def test_a_projector_of_another_model_is_not_taken(disk: Disk, tmp_path: Path) -> None:
    model = a_file(tmp_path / "m" / "blind-Q4_0.gguf")
    a_file(tmp_path / "m" / "sees-Q4_0.gguf")
    a_file(tmp_path / "m" / "mmproj-sees-F16.gguf")

    assert disk.find(model).projector is None


@pytest.mark.parametrize("keys", [{"general.architecture": "clip"}, {"general.type": "mmproj"}])
def test_a_projector_without_the_word_in_its_name_is_told_by_its_header(
    disk: Disk, tmp_path: Path, keys: dict[str, object]
) -> None:
    model = a_file(tmp_path / "m" / "sees-Q4_0.gguf")
    hidden = tmp_path / "m" / "sees-vision-F16.gguf"
    hidden.write_bytes(a_header(keys))

    found = disk.find(tmp_path / "m")

    assert (found.file, found.projector) == (model, hidden)


@pytest.mark.parametrize("home", [".lmstudio/models", ".cache/lm-studio/models", "moved/models"])
@pytest.mark.parametrize("wanted", ["me/Tiny-GGUF:Q8_0", "hf:me/Tiny-GGUF:q8_0"])
def test_a_model_in_lm_studios_folder_is_found_by_its_repository(
    disk: Disk, tmp_path: Path, home: str, wanted: str
) -> None:
    folder = tmp_path / "home" / home / "me" / "Tiny-GGUF"
    a_file(tmp_path / "home" / ".lmstudio-home-pointer", str(tmp_path / "home" / "moved"))
    a_file(folder / "Tiny-Q4_0.gguf")
    file = a_file(folder / "Tiny-Q8_0.gguf")
    projector = a_file(folder / "mmproj-Tiny-f16.gguf")

    found = disk.find(wanted)

    assert found == StoredModel("tiny-q8_0", file, 5, "me/Tiny-GGUF", projector=projector)


def test_a_model_that_both_caches_have_is_one_model(disk: Disk, tmp_path: Path) -> None:
    shared = a_download(disk.cache, "me/tiny", "t-Q8_0.gguf")
    a_file(tmp_path / "home" / ".lmstudio" / "models" / "me" / "tiny" / "t-Q8_0.gguf")

    assert disk.find("me/tiny").file == shared


def test_quantizations_in_folders_of_their_own_are_told_apart(disk: Disk) -> None:
    for quant in ("Q4_0", "Q8_0"):
        for number in (1, 2):
            a_download(disk.cache, "me/big", f"{quant}/big-0000{number}-of-00002.gguf")

    found = disk.find("me/big:Q8_0")

    assert (found.file.parent.name, found.parts) == ("Q8_0", 2)
    assert disk.refusal("me/big").exit_code == 5


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ('{"quantization": {"group_size": 64, "bits": 4}}', Format.MLX),
        ('{"quantization_config": {"quant_method": "fp8"}}', Format.SAFETENSORS),
        ("{}", Format.SAFETENSORS),
        ("no json", Format.SAFETENSORS),
    ],
)
def test_a_folder_of_safetensors_is_a_model(
    disk: Disk, tmp_path: Path, config: str, kind: Format
) -> None:
    folder = tmp_path / "Tiny-4bit"
    a_file(folder / "config.json", config)
    for number in (1, 2):
        a_file(folder / f"model-0000{number}-of-00002.safetensors")

    found = disk.find(folder)

    assert found == StoredModel("tiny-4bit", folder, 10, None, format=kind, parts=2)


def test_a_repository_of_safetensors_goes_by_its_name_and_not_its_commit(disk: Disk) -> None:
    a_download(disk.cache, "mlx-community/Tiny.1-4bit", "config.json")
    a_download(disk.cache, "mlx-community/Tiny.1-4bit", "model.safetensors")

    found = disk.find("mlx-community/Tiny.1-4bit")

    assert (found.id, found.repo) == ("tiny.1-4bit", "mlx-community/Tiny.1-4bit")
    assert found.file.name == "c0ffee"


def test_a_link_whose_blob_was_cleared_away_is_no_file(disk: Disk) -> None:
    a_download(disk.cache, "me/tiny", "t-Q8_0.gguf").resolve().unlink()

    assert disk.refusal("me/tiny").why.endswith("none")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HUB_CACHE": "", "HF_HOME": ""}, "/home/me/.cache/huggingface/hub"),
        ({"HF_HUB_CACHE": "~/hub"}, "/home/me/hub"),
        ({"HF_HUB_CACHE": "$DISK/a${N}b/$NONE", "DISK": "/d", "N": "1"}, "/d/a1b/$NONE"),
        ({"HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({}, "/home/me/.cache/huggingface/hub"),
    ],
)
def test_the_hub_cache_is_where_the_other_programs_have_it(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], folder: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert hub_cache(environment) == Path(folder)


@pytest.mark.parametrize(("typed", "near"), [("tinny", "tiny"), ("TINY1B", "tiny-1b")])
def test_an_unknown_name_suggests_the_one_that_was_meant(disk: Disk, typed: str, near: str) -> None:
    assert disk.refusal(typed).what == f"No model {typed!r}, did you mean {near}?"


def test_a_name_like_no_other_suggests_none_and_says_what_could_be_given(disk: Disk) -> None:
    error = disk.refusal("zzz")

    assert error.what == "No model 'zzz'."
    assert "tiny, large" in error.why
    assert "hf:owner/repo:QUANT" in error.fix
    assert error.exit_code == 5


@pytest.mark.parametrize("wanted", ["y" * 300, "a\0b", "../../etc", "hf:", "a/b/c", "hf:a/b:"])
def test_a_name_that_can_be_no_file_is_an_unknown_model_and_no_crash(
    disk: Disk, wanted: str
) -> None:
    assert disk.refusal(wanted).exit_code == 5


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/m/Qwen3-8B-Q4_K_M.gguf", "qwen3-8b-q4_k_m"),
        ("/m/Big-00001-of-00003.gguf", "big"),
        ("/m/My Model (new).gguf", "my-model-new"),
        ("/m/Größe:7b.gguf", "größe-7b"),
        ("/m/...gguf", "model"),
        ("/m/模型.gguf", "模型"),
    ],
)
def test_an_id_is_one_path_segment_in_lower_case(file: str, expected: str) -> None:
    assert model_id(Path(file)) == expected
    assert re.fullmatch(r"[\w.-]+", model_id(Path(file)))
