"""What a listing's names say: models, projectors, drafts, and what is none of them."""

from __future__ import annotations

import pytest

from localllm.formats.header import Format
from localllm.store.contents import (
    Contents,
    base_of,
    choose_projector,
    quantization_of,
    sort_files,
)
from localllm.store.repository import RepositoryFile


def listed(*paths: str, mlx: bool = False) -> Contents:
    """Sort files of 1, 2, 3, ... bytes."""
    files = (RepositoryFile(path, size) for size, path in enumerate(paths, start=1))
    return sort_files(files, mlx=mlx)


@pytest.mark.parametrize(
    ("path", "quantization"),
    [
        ("Qwen3.6-35B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("gemma-3-4b-it-q4_0.gguf", "Q4_0"),
        ("tiny.Q8_0.gguf", "Q8_0"),
        ("model_Q5_K_S.gguf", "Q5_K_S"),
        ("m-IQ4_XS.gguf", "IQ4_XS"),
        ("m.i1-IQ1_S.gguf", "IQ1_S"),
        ("m-UD-IQ2_XXS.gguf", "UD-IQ2_XXS"),
        ("m-UD-TQ1_0.gguf", "UD-TQ1_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("m-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("m-NVFP4.gguf", "NVFP4"),
        ("m-BF16.gguf", "BF16"),
        ("m-F16.gguf", "F16"),
        ("m-f32.gguf", "F32"),
        ("m-BF16-Q4_K_M.gguf", "Q4_K_M"),
        ("Q4_K_M/m-00001-of-00003.gguf", "Q4_K_M"),
        ("BF16/m-Q8_0.gguf", "Q8_0"),
        ("m-Q4_K_M_new.gguf", "Q4_K_M"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("IQ-test-7b.gguf", None),
        ("XQ4_0.gguf", None),
        ("model.gguf", None),
    ],
)
def test_a_quantization_is_a_whole_word_of_the_name_or_else_of_the_folder(
    path: str, quantization: str | None
) -> None:
    assert quantization_of(path) == quantization


def test_each_quantization_is_a_model_with_the_listings_size() -> None:
    models = listed("m-Q4_K_M.gguf", "m-Q8_0.gguf", "README.md", "config.json").models

    assert [(m.name, m.quantization, m.file_bytes) for m in models] == [
        ("m-Q4_K_M", "Q4_K_M", 1),
        ("m-Q8_0", "Q8_0", 2),
    ]
    assert {m.format for m in models} == {Format.GGUF}


def test_the_parts_of_a_set_are_one_model_in_their_order() -> None:
    (model,) = listed(
        "q/m-00002-of-00003.gguf", "q/m-00001-of-00003.gguf", "q/m-00003-of-00003.gguf"
    ).models

    assert [file.path[4:9] for file in model.files] == ["00001", "00002", "00003"]
    assert (model.name, model.file_bytes, model.missing) == ("q/m", 6, ())


def test_sets_of_the_same_name_in_two_folders_are_two_models() -> None:
    paths = [f"{q}/m-0000{n}-of-00002.gguf" for q in ("Q4_0", "Q8_0") for n in (1, 2)]

    assert [m.quantization for m in listed(*paths).models] == ["Q4_0", "Q8_0"]


def test_a_set_that_is_not_whole_names_what_is_missing() -> None:
    (model,) = listed("m-00002-of-00003.gguf").models

    assert model.missing == ("m-00001-of-00003.gguf", "m-00003-of-00003.gguf")


@pytest.mark.parametrize(
    "path", ["m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-1-of-2.gguf"]
)
def test_a_number_that_no_part_can_have_is_a_name(path: str) -> None:
    (model,) = listed(path).models

    assert (model.name, model.missing) == (path.removesuffix(".gguf"), ())


@pytest.mark.parametrize(
    "path",
    [
        "mmproj-F16.gguf",
        "sub/mmproj-m-F16.gguf",
        "m-mmproj-f16.gguf",
        "m.mmproj.gguf",
        "MMPROJ.gguf",
    ],
)
def test_a_projector_is_never_a_model(path: str) -> None:
    contents = listed(path, "m-Q4_0.gguf")

    assert [file.path for file in contents.projectors] == [path]
    assert [model.name for model in contents.models] == ["m-Q4_0"]


@pytest.mark.parametrize(
    "path",
    [
        "imatrix.gguf",
        "m-imatrix.gguf",
        "imatrix_unsloth.gguf",
        "mtp-m-Q8_0.gguf",
        "a/eagle3-m.gguf",
    ],
)
def test_what_helps_to_make_or_to_speed_up_a_model_is_none(path: str) -> None:
    assert [m.name for m in listed(path, "m-Q4_0.gguf").models] == ["m-Q4_0"]


def test_a_model_made_with_an_importance_matrix_is_a_model() -> None:
    assert len(listed("m-IQ4_XS-imatrix.gguf").models) == 1


@pytest.mark.parametrize(
    ("paths", "weights"),
    [
        (("config.json", "model.safetensors"), ["model.safetensors"]),
        (
            ("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (("config.json", "model.safetensors", "consolidated.safetensors"), ["model.safetensors"]),
        (("config.json", "consolidated.safetensors"), ["consolidated.safetensors"]),
        (("config.json", "model.safetensors", "original/a.safetensors"), ["model.safetensors"]),
        (("config.json", "model.safetensors", "adapter_model.safetensors"), ["model.safetensors"]),
        (
            ("config.json", "weights.00.safetensors", "weights.01.safetensors"),
            ["weights.00.safetensors", "weights.01.safetensors"],
        ),
    ],
)
def test_safetensors_beside_a_config_are_one_model(
    paths: tuple[str, ...], weights: list[str]
) -> None:
    (model,) = listed(*paths).models

    assert [file.path for file in model.files] == weights
    assert (model.format, model.missing) == (Format.SAFETENSORS, ())
    assert model.config is not None


def test_safetensors_are_mlxs_where_that_is_known() -> None:
    (model,) = listed("config.json", "model.safetensors", mlx=True).models

    assert model.format is Format.MLX


def test_safetensors_without_a_config_are_no_model() -> None:
    assert listed("model.safetensors", "sub/config.json").models == ()


@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("gemma-3-4b-it-Q4_K_M.gguf", "gemma-3-4b-it"),
        ("mmproj-gemma-3-4b-it-f16.gguf", "gemma-3-4b-it"),
        ("a/gemma-3-4b-it-mmproj.gguf", "gemma-3-4b-it"),
        ("mmproj-F16.gguf", ""),
    ],
)
def test_what_the_files_of_one_model_share_is_its_base(path: str, base: str) -> None:
    assert base_of(path) == base


@pytest.mark.parametrize(
    ("paths", "chosen"),
    [
        (("m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-model.gguf"), "mmproj-model.gguf"),
        (
            ("m-Q4_0.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj-F32.gguf"),
            "mmproj-F16.gguf",
        ),
        (("m-Q4_0.gguf", "mmproj-F32.gguf", "mmproj-BF16.gguf"), "mmproj-BF16.gguf"),
        (("m-Q4_0.gguf", "other-Q4_0.gguf", "mmproj-other-F16.gguf"), None),
        (("m-Q4_0.gguf", "other-Q4_0.gguf", "mmproj-m-F16.gguf"), "mmproj-m-F16.gguf"),
        (("m-1b-Q4_0.gguf", "m-12b-Q4_0.gguf", "mmproj-m-12b-F16.gguf"), None),
        (("m-Q4_0.gguf", "other-Q4_0.gguf", "mmproj-F16.gguf"), None),
        (("m-Q4_0.gguf",), None),
    ],
)
def test_the_projector_is_the_models_own_and_in_sixteen_bits_first(
    paths: tuple[str, ...], chosen: str | None
) -> None:
    contents = listed(*paths)
    model = next(m for m in contents.models if m.files[0].path == paths[0])

    found = choose_projector(model, contents)

    assert (None if found is None else found.path) == chosen
