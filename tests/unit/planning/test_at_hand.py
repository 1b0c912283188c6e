"""What is on this disk that can be served by its name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.catalog.profile import Embedded, Profile
from localllm.catalog.repositories import FileFormat, Repository, Variant
from localllm.planning.at_hand import AtHand, at_hand
from tests.unit.store.an_ollama import AnOllama

KNOWN = Profile(
    1,
    "small-8b",
    "Small",
    "mit",
    repositories=(
        Repository("me/Small-GGUF", FileFormat.GGUF, (Variant("Q4_K_M"), Variant("Q8_0"))),
        Repository("mlx/Small-4bit", FileFormat.MLX, (Variant("4bit"),)),
    ),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "hub"


def put(cache: Path, repo: str, *names: str) -> None:
    folder = cache / f"models--{repo.replace('/', '--')}" / "snapshots" / ("a" * 40)
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b'{"quantization":{}}' if name == "config.json" else b"GGUF")


def environment(cache: Path) -> dict[str, str]:
    return {"HF_HUB_CACHE": str(cache), "OLLAMA_MODELS": str(cache.parent / "ollama")}


def names(cache: Path, *catalog: Profile) -> list[str]:
    found = at_hand(catalog, cache.parent / "data", environment(cache))
    return [one.name for one in found]


def test_without_any_folder_there_is_nothing(cache: Path) -> None:
    assert names(cache, KNOWN) == []


@pytest.mark.parametrize(
    ("repo", "files", "listed"),
    [
        ("me/Small-GGUF", ["small-Q4_K_M.gguf", "small-Q8_0.gguf"], ["small-8b"]),
        ("me/Small-GGUF", ["small-Q2_K.gguf"], ["me/Small-GGUF:Q2_K"]),
        ("mlx/Small-4bit", ["config.json", "model.safetensors"], ["small-8b"]),
        ("who/Other--x-GGUF", ["other-Q5_K_M.gguf"], ["who/Other--x-GGUF:Q5_K_M"]),
        ("who/Other", ["other.gguf"], ["who/Other"]),
        ("who/mlx-Other", ["config.json", "model.safetensors"], ["who/mlx-Other"]),
        ("who/bert", ["model.safetensors"], []),
        ("who/Half", ["half-Q8_0-00001-of-00002.gguf"], []),
        ("who/Words", ["README.md"], []),
    ],
)
def test_each_model_is_listed_under_the_name_that_loads_it(
    repo: str, files: list[str], listed: list[str], cache: Path
) -> None:
    put(cache, repo, *files)

    assert names(cache, KNOWN) == listed


def test_the_model_that_travels_in_a_package_is_listed(cache: Path) -> None:
    embedded = Embedded("a-package", "a_package/tiny.gguf", 4)
    file = cache.parent / "data" / "embedded" / "a-package" / "a_package" / "tiny.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"GGUF")
    tiny = Profile(1, "tiny", "Tiny", "mit", embedded=embedded)

    assert at_hand([tiny], cache.parent / "data", environment(cache)) == (AtHand("tiny"),)


def test_what_lm_studio_has_is_listed_too(cache: Path) -> None:
    folder = cache.parent / "home" / ".lmstudio" / "models" / "who" / "Other-GGUF"
    folder.mkdir(parents=True)
    (folder / "other-Q8_0.gguf").write_bytes(b"GGUF")

    assert names(cache) == ["who/Other-GGUF:Q8_0"]


def test_what_ollama_has_whole_is_listed_with_the_names_it_has_there(cache: Path) -> None:
    ollama = AnOllama(cache.parent / "ollama")
    ollama.put("registry.ollama.ai/library/qwen3/latest", model=b"GGUF")
    ollama.put("hf.co/who/Other-GGUF/Q8_0", model=b"GGUF")
    ollama.put("registry.ollama.ai/library/tuned/1b", model=b"GGUF", adapter=b"GGUF of LoRA")
    ollama.put("registry.ollama.ai/library/half/1b", model=b"GGUF of half").unlink()

    found = at_hand([], cache.parent / "data", environment(cache))

    of_hub = "hf.co/who/Other-GGUF:Q8_0"
    assert found == (
        AtHand(f"ollama:{of_hub}", "who/Other-GGUF", (of_hub,)),
        AtHand("ollama:qwen3:latest", None, ("qwen3", "qwen3:latest")),
    )
