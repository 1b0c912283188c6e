"""What Ollama has on this disk, used where it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localllm.errors import ModelNotFound
from localllm.formats.errors import BadModelFile
from localllm.store.headers import read_header, read_projector
from localllm.store.local import find_model
from localllm.store.ollama import find_ollama, ollama_folders, ollama_models
from localllm.store.places import folders_of
from localllm.store.stored import StoredModel
from tests.unit.formats.a_gguf import a_file, a_header
from tests.unit.store.an_ollama import KIND, LIST, AnOllama

QWEN = "registry.ollama.ai/library/qwen3/8b"
GGUF = a_file(a_header())
CLIP = a_file(a_header({"general.architecture": "clip", "clip.has_vision_encoder": True}))
ELSEWHERE = "sha256:" + "e" * 64


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AnOllama:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return AnOllama(tmp_path / "ollama")


def find(ollama: AnOllama, name: str) -> StoredModel:
    cache = {"HF_HUB_CACHE": str(ollama.root.parent / "hub")}
    return find_model(name, (), ollama.root, {**ollama.environment, **cache})


def names(ollama: AnOllama) -> list[str]:
    return [model.name for model in ollama_models(ollama.environment)]


def refusal(ollama: AnOllama, name: str = "ollama:qwen3:8b") -> ModelNotFound:
    with pytest.raises(ModelNotFound) as caught:
        find(ollama, name)
    return caught.value


@pytest.mark.parametrize(
    "wanted",
    [
        *("ollama:qwen3:8b", "qwen3:8b", "Qwen3:8B", "ollama:library/qwen3:8b"),
        *("ollama:registry.ollama.ai/library/qwen3:8b", "OLLAMA:qwen3:8b"),
    ],
)
def test_a_model_is_its_blob_whichever_way_its_name_is_written(
    ollama: AnOllama, wanted: str
) -> None:
    blob = ollama.put(QWEN, model=GGUF, template=b"{{ .Prompt }}", params=b"{}")

    found = find(ollama, wanted)

    aliases = ("qwen3:8b", "ollama:qwen3:8b")
    assert found == StoredModel("qwen3-8b", blob, len(GGUF), None, aliases)


def test_the_header_of_a_blob_is_read_though_its_name_has_no_ending(ollama: AnOllama) -> None:
    ollama.put(QWEN, model=GGUF, projector=CLIP)

    found = find(ollama, "ollama:qwen3:8b")

    assert found.projector is not None
    assert (read_header(found.file).vocabulary, read_projector(found.projector).has_vision) == (
        3,
        True,
    )


@pytest.mark.parametrize(
    ("place", "name", "model_id"),
    [
        ("registry.ollama.ai/library/llama3.2/latest", "llama3.2:latest", "llama3.2"),
        ("registry.ollama.ai/somebody/tuned/7b", "somebody/tuned:7b", "tuned-7b"),
        ("hf.co/me/Tiny-GGUF/Q4_K_M", "hf.co/me/Tiny-GGUF:Q4_K_M", "tiny-gguf-q4_k_m"),
        ("localhost:5000/library/own/v1", "localhost:5000/library/own:v1", "own-v1"),
    ],
)
def test_names_are_those_that_ollama_shows(
    ollama: AnOllama, place: str, name: str, model_id: str
) -> None:
    ollama.put(place, model=GGUF)

    assert names(ollama) == [name]
    assert find(ollama, f"ollama:{name}").id == model_id


def test_without_a_tag_the_latest_is_meant(ollama: AnOllama) -> None:
    blob = ollama.put("registry.ollama.ai/library/llama3.2/latest", model=GGUF)

    assert find(ollama, "llama3.2").file == blob
    assert refusal(ollama, "ollama:qwen3").what == "Ollama has no qwen3 here."


@pytest.mark.parametrize(
    "wanted", ["me/Tiny-GGUF:Q4_K_M", "hf:me/Tiny-GGUF:q4_k_m", "https://hf.co/me/Tiny-GGUF:Q4_K_M"]
)
def test_what_ollama_fetched_from_hugging_face_is_found_by_its_repository(
    ollama: AnOllama, wanted: str
) -> None:
    blob = ollama.put("hf.co/me/Tiny-GGUF/Q4_K_M", model=GGUF)

    found = find(ollama, wanted)

    assert (found.file, found.repo) == (blob, "me/Tiny-GGUF")
    assert folders_of("me/Tiny-GGUF", ollama.environment)


def test_another_quantization_and_a_revision_are_not_what_ollama_has(ollama: AnOllama) -> None:
    ollama.put("hf.co/me/Tiny-GGUF/Q4_K_M", model=GGUF)

    for wanted in ("me/Tiny-GGUF:Q8_0", "me/Tiny-GGUF:Q4_K_M@v1", "hf:somebody/tuned:7b"):
        assert refusal(ollama, wanted).fix == f"localllm pull {wanted}"


def test_a_user_of_ollamas_hub_is_no_owner_on_hugging_face_unless_it_says_so(
    ollama: AnOllama,
) -> None:
    blob = ollama.put("registry.ollama.ai/somebody/tuned/7b", model=GGUF)

    assert find(ollama, "somebody/tuned:7b").file == blob
    assert refusal(ollama, "hf:somebody/tuned:7b")


def test_newer_versions_keep_names_as_links_and_these_go_first(ollama: AnOllama) -> None:
    ollama.put(QWEN, model=GGUF + b"older")
    ollama.link("ollama.com/library/qwen3/8b", ollama.manifest(model=GGUF))

    assert names(ollama) == ["qwen3:8b"]
    assert find(ollama, "ollama:qwen3:8b").file == ollama.blob(GGUF)


@pytest.mark.parametrize("by_digest", [False, True])
def test_of_a_model_in_several_forms_the_gguf_is_taken(ollama: AnOllama, by_digest: bool) -> None:
    mlx = {**ollama.manifest(tensor=b"weights"), "runner": "mlx"}
    gguf = ollama.manifest(model=GGUF)
    if by_digest:
        blob = ollama.blob(json.dumps(gguf).encode())
        gguf = {"digest": blob.name.replace("-", ":")}
    forms = [mlx, {**gguf, "runner": "llamacpp"}]
    ollama.link("ollama.com/library/qwen3/8b", {"mediaType": LIST, "manifests": forms})

    assert find(ollama, "ollama:qwen3:8b").file == ollama.blob(GGUF)


def test_all_blobs_of_a_model_are_told_and_what_lacks_is_named(ollama: AnOllama) -> None:
    blob = ollama.put(QWEN, model=GGUF, template=b"a template", projector=CLIP)
    ollama.blob(CLIP).unlink()
    blobs = [ollama.blob(b"{}"), blob, ollama.blob(b"a template")]

    (model,) = ollama_models(ollama.environment)

    assert model.blobs == tuple(blobs)
    assert model.size_bytes == sum(file.stat().st_size for file in blobs)
    assert model.missing == (model.projector.name,) if model.projector else False
    assert model.missing[0] in refusal(ollama).why


def test_a_model_with_an_adapter_is_not_served_without_it(ollama: AnOllama) -> None:
    ollama.put(QWEN, model=GGUF, adapter=b"GGUF adapter")

    assert "adapter" in refusal(ollama).what


def test_weights_that_are_no_gguf_are_found_and_their_header_says_so(ollama: AnOllama) -> None:
    ollama.put(QWEN, model=b"PK\x03\x04 of old")

    with pytest.raises(BadModelFile) as caught:
        read_header(find(ollama, "ollama:qwen3:8b").file)

    assert "not with b'GGUF'" in caught.value.why


def test_a_model_without_weights_is_not_listed_and_says_why(ollama: AnOllama) -> None:
    ollama.put_text(QWEN, json.dumps(ollama.manifest(tensor=b"safetensors")))

    assert names(ollama) == []
    assert "MLX engine" in refusal(ollama).why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "broken"),
        ("no json", "broken"),
        ("[]", "broken"),
        ('{"layers": 1}', "broken"),
        ("[" * 100_000, "broken"),
        ('{"manifests": [' * 5000, "broken"),
        ("\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "broken"),
        (" " * (4 << 20) + "{}", "too long"),
        ('{"layers": null}', "no file of weights"),
    ],
)
def test_a_manifest_that_is_none_is_passed_over_and_explained(
    ollama: AnOllama, text: str, why: str
) -> None:
    ollama.put_text(QWEN, text)

    assert names(ollama) == []
    assert why in refusal(ollama).why


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", "sha256:../x", "sha256:" + "g" * 64, "md5:" + "a" * 64, "a"]
)
def test_a_digest_that_is_none_leads_nowhere(ollama: AnOllama, digest: str) -> None:
    layers = [{"mediaType": f"{KIND}model", "digest": digest}]
    ollama.put_text(QWEN, json.dumps({"layers": layers}))

    assert names(ollama) == []
    assert "no digest" in refusal(ollama).why


def test_a_blob_that_leads_out_of_the_folder_is_missing(ollama: AnOllama, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(GGUF)
    blob = ollama.put(QWEN, model=GGUF)
    blob.unlink()
    blob.symlink_to(secret)

    (model,) = ollama_models(ollama.environment)

    assert model.missing == (blob.name,)


def test_a_manifest_that_leads_out_of_the_folder_is_not_read(
    ollama: AnOllama, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text(json.dumps(ollama.manifest(model=GGUF)))
    ollama.place(QWEN).symlink_to(manifest)
    ollama.place("registry.ollama.ai/library/loop/x").symlink_to("x")

    assert names(ollama) == []
    assert "no file of that folder" in refusal(ollama).why


def test_the_folder_of_blobs_may_be_on_another_disk(ollama: AnOllama, tmp_path: Path) -> None:
    blob = ollama.put(QWEN, model=GGUF)
    blob.parent.rename(tmp_path / "large")
    blob.parent.symlink_to(tmp_path / "large")

    assert find(ollama, "ollama:qwen3:8b").file == blob


def test_a_pipe_is_no_manifest(ollama: AnOllama) -> None:
    os.mkfifo(ollama.place(QWEN))

    assert names(ollama) == []


@pytest.mark.parametrize(
    "name", ["a b/library/x/y", "registry.ollama.ai/li\x1bb/x/y", "registry.ollama.ai/library/x/-y"]
)
def test_a_name_that_ollama_cannot_have_given_is_passed_over(ollama: AnOllama, name: str) -> None:
    ollama.put(name, model=GGUF)

    assert names(ollama) == []


def test_what_is_not_there_is_named_with_what_is(ollama: AnOllama) -> None:
    ollama.put(QWEN, model=GGUF)

    error = refusal(ollama, "ollama:llama3\x1b")

    assert error.what == "Ollama has no llama3\\x1b here."
    assert error.why == f"looked into {ollama.root}; models there: qwen3:8b"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may look into everything; for a moment we are somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_is_closed_to_the_user_is_passed_over_and_explained(
    ollama: AnOllama,
) -> None:
    ollama.put(QWEN, model=GGUF)
    ollama.root.chmod(0)

    try:
        with as_nobody():
            listed, error = names(ollama), refusal(ollama)
    finally:
        ollama.root.chmod(0o700)

    assert listed == []
    assert error.what == "Ollama's qwen3:8b may be here, but its folder is closed to you."


def test_the_folders_are_those_of_the_user_and_of_the_system_or_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert ollama_folders({"OLLAMA_MODELS": "~/models"}) == [Path("/home/me/models")]
    assert ollama_folders({})[:2] == [
        Path("/home/me/.ollama/models"),
        Path("/usr/share/ollama/.ollama/models"),
    ]


def test_no_folder_is_no_model(tmp_path: Path) -> None:
    environment = {"OLLAMA_MODELS": str(tmp_path / "none")}

    assert ollama_models(environment) == []
    assert find_ollama("qwen3:8b", environment) is None
