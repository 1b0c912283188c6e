"""Which files are fetched of a repository: what a model is made of, and nothing that could run."""

from __future__ import annotations

import ast
import importlib.util
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from localllm.errors import ModelNotFound
from localllm.formats.errors import BadModelFile
from localllm.store.contents import sort_files
from localllm.store.needed import MAX_TEXT_BYTES, MAX_TEXTS, has_tokenizer, needed_files
from localllm.store.repository import Repository, RepositoryFile

TEXTS = [
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "qwen.tiktoken",
    "special_tokens_map.json",
    "tiktoken.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
]
PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
FOREIGN = [
    "model.ckpt",
    "model.h5",
    "model.msgpack",
    "model.onnx",
    "modeling_tiny.py",
    "optimizer.pt",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "state.pkl",
    "weights.pth",
    "README.md",
    ".gitattributes",
    "original/params.json",
    "onnx/config.json",
]


def a_repository(*paths: str, **sizes: int) -> Repository:
    files = tuple(RepositoryFile(path, sizes.get(path, 100)) for path in paths)
    return Repository("me/tiny", "hub", "c" * 40, files)


def needed(repository: Repository, number: int = 0, *, mlx: bool = False, **more: Any) -> list[str]:
    contents = sort_files(repository.files, mlx=mlx)
    projector = contents.projectors[0] if more.get("sees") else None
    return [f.path for f in needed_files(repository, contents.models[number], projector)]


def test_of_a_gguf_it_is_the_file_alone() -> None:
    repository = a_repository("a-Q4_K_M.gguf", "a-Q8_0.gguf", "mmproj-F16.gguf", *TEXTS, *FOREIGN)

    assert needed(repository, 1) == ["a-Q8_0.gguf"]


def test_of_a_split_gguf_it_is_every_part_in_order() -> None:
    parts = [f"Q4_K_M/a-Q4_K_M-{n:05}-of-00003.gguf" for n in (1, 2, 3)]

    assert needed(a_repository(*reversed(parts), "a-Q8_0.gguf")) == parts


def test_the_projector_comes_before_the_weights_where_it_is_wanted() -> None:
    repository = a_repository("a-Q4_K_M.gguf", "mmproj-F16.gguf")

    assert needed(repository, sees=True) == ["mmproj-F16.gguf", "a-Q4_K_M.gguf"]


@pytest.mark.parametrize("mlx", [True, False])
def test_of_safetensors_come_the_texts_that_are_read_and_then_all_weights(mlx: bool) -> None:
    repository = a_repository(*TEXTS, *FOREIGN, *PARTS)

    assert needed(repository, mlx=mlx) == [*TEXTS, *PARTS]


def test_mlx_lm_would_fetch_the_same_but_for_programs_and_lines_of_json() -> None:
    """Its own list of patterns, out of its source: importing it takes seconds."""
    spec = importlib.util.find_spec("mlx_lm")
    assert spec, "scripts/test installs mlx-lm"
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0], "utils.py").read_text(encoding="utf-8")
    (patterns,) = [
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEFAULT_ALLOW_PATTERNS"
    ]
    listed = [path for path in [*TEXTS, *PARTS, *FOREIGN, "data.jsonl"] if "/" not in path]

    theirs = {path for path in listed if any(fnmatch(path, p) for p in patterns)}
    ours = set(needed(a_repository(*listed), mlx=True))

    assert theirs - ours == {"modeling_tiny.py", "data.jsonl", "pytorch_model.bin.index.json"}
    assert ours <= theirs


def test_how_vectors_are_made_of_texts_is_read_from_a_folder_by_vllm_alone() -> None:
    repository = a_repository("config.json", "1_Pooling/config.json", "model.safetensors")

    assert "1_Pooling/config.json" in needed(repository)
    assert "1_Pooling/config.json" not in needed(repository, mlx=True)


@pytest.mark.parametrize(
    "paths",
    [
        ["a-Q4_K_M-00001-of-00003.gguf", "a-Q4_K_M-00003-of-00003.gguf"],
        ["config.json", "model-00002-of-00002.safetensors"],
    ],
)
def test_a_set_that_lacks_parts_is_refused_by_their_names(paths: list[str]) -> None:
    with pytest.raises(ModelNotFound, match="does not have all parts") as caught:
        needed(a_repository(*paths))

    assert "-of-0000" in caught.value.why


def test_a_text_that_is_far_too_large_is_left_out_or_refused_if_nothing_goes_without_it() -> None:
    paths = ("config.json", "notes.txt", "tokenizer.json", "model.safetensors")

    assert "notes.txt" not in needed(a_repository(*paths, **{"notes.txt": MAX_TEXT_BYTES + 1}))
    with pytest.raises(BadModelFile, match=r"tokenizer\.json of me/tiny is not fetched"):
        needed(a_repository(*paths, **{"tokenizer.json": MAX_TEXT_BYTES + 1}))


def test_of_very_many_texts_those_come_that_nothing_goes_without() -> None:
    many = [f"a{number:03}.json" for number in range(200)]

    chosen = needed(a_repository(*many, "config.json", "tokenizer.json", "model.safetensors"))

    assert len(chosen) == MAX_TEXTS + 1
    assert {"config.json", "tokenizer.json"} <= set(chosen)


@pytest.mark.parametrize(
    "path",
    [
        "../a-Q4_K_M.gguf",
        "/etc/a-Q4_K_M.gguf",
        "x/../../a-Q4_K_M.gguf",
        "a\x1b[2J-Q4_K_M.gguf",
        "a//b-Q4_K_M.gguf",
        "a\\b-Q4_K_M.gguf",
    ],
)
def test_weights_whose_name_leads_elsewhere_or_harms_a_terminal_are_refused(path: str) -> None:
    with pytest.raises(BadModelFile) as caught:
        needed(a_repository(path))

    assert "\x1b" not in str(caught.value)


def test_a_projector_is_held_to_the_same_endings() -> None:
    repository = a_repository("a-Q4_K_M.gguf")
    variant = sort_files(repository.files).models[0]

    with pytest.raises(BadModelFile):
        needed_files(repository, variant, RepositoryFile("mmproj.bin", 5))


def test_no_ending_that_runs_is_ever_fetched_whatever_is_listed() -> None:
    repository = a_repository(*FOREIGN, *TEXTS, *PARTS, "config.py.json", "tokenizer.json.py")

    endings = {Path(path).suffix for path in needed(repository)}

    assert endings <= {".json", ".jinja", ".txt", ".model", ".tiktoken", ".safetensors"}


def test_a_folder_without_a_tokenizer_cannot_be_served() -> None:
    assert has_tokenizer(["config.json", "tokenizer.json"])
    assert has_tokenizer(["tekken.json"])
    assert not has_tokenizer(["config.json", "tokenizer_config.json", "model.safetensors"])
