"""A model's header, read from a file that may be anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.errors import LocalLLMError, ModelNotFound
from localllm.formats.header import Format
from localllm.store.headers import read_header, read_projector
from tests.unit.formats.a_gguf import PLAIN, Line, a_file, a_header
from tests.unit.store.a_safetensors import CONFIG, a_safetensors


def test_the_header_of_a_file_on_disk_is_read(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(a_file(a_header()))

    header = read_header(file)

    assert (header.name, header.architecture) == ("Tiny", "llama")
    assert header.file_bytes == file.stat().st_size


def test_a_file_that_cannot_be_opened_is_named_with_the_systems_reason(tmp_path: Path) -> None:
    file = tmp_path / "none.gguf"

    with pytest.raises(ModelNotFound) as caught:
        read_header(file)

    assert caught.value.what == f"{file} cannot be read."
    assert "No such file" in caught.value.why


@pytest.mark.parametrize("data", [b"", b"no model at all, only text", a_file(a_header())[:200]])
def test_a_file_that_is_no_whole_model_is_the_parsers_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)

    with pytest.raises(LocalLLMError) as caught:
        read_header(file)

    assert caught.value.http_status == 422
    assert caught.value.why.startswith(f"{file}: ")


def put_parts(folder: Path, numbers: tuple[int, ...]) -> list[Path]:
    files = []
    for number in numbers:
        part = {"split.no": number - 1, "split.count": 2, "split.tensors.count": 2}
        line = Line("token_embd.weight" if number == 1 else "output.weight")
        files.append(folder / f"m-0000{number}-of-00002.gguf")
        keys = {**PLAIN, **part} if number == 1 else part
        files[-1].write_bytes(a_file(a_header(keys, (line,)), (line,)))
    return files


@pytest.mark.parametrize("named", [0, 1])
def test_any_part_of_a_set_reads_as_the_whole_model(tmp_path: Path, named: int) -> None:
    files = put_parts(tmp_path, (1, 2))

    header = read_header(files[named])

    assert [tensor.name for tensor in header.tensors] == ["token_embd.weight", "output.weight"]
    assert (header.files, header.file_bytes) == (2, sum(file.stat().st_size for file in files))


def test_a_set_with_a_part_missing_names_it_whichever_is_asked_for(tmp_path: Path) -> None:
    (second,) = put_parts(tmp_path, (2,))

    with pytest.raises(ModelNotFound) as caught:
        read_header(second)

    assert caught.value.why == "missing 1: m-00001-of-00002.gguf"


def test_a_projectors_header_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mmproj.gguf"
    file.write_bytes(
        a_file(a_header({"general.architecture": "clip", "clip.has_vision_encoder": True}))
    )

    assert read_projector(file).has_vision


@pytest.mark.parametrize(
    ("beside", "text", "has_template"),
    [
        ("README.md", "chat_template", False),
        ("chat_template.jinja", "{{ messages }}", True),
        ("tokenizer_config.json", '{"chat_template": "{{ messages }}"}', True),
        ("tokenizer_config.json", "{}", False),
    ],
)
def test_a_folder_of_safetensors_is_read_as_one_model(
    tmp_path: Path, beside: str, text: str, has_template: bool
) -> None:
    (tmp_path / "config.json").write_bytes(CONFIG)
    (tmp_path / beside).write_text(text)
    for number, name in ((1, "model.embed_tokens.weight"), (2, "lm_head.weight")):
        data = a_safetensors(**{name: (96, 64)})
        (tmp_path / f"model-0000{number}-of-00002.safetensors").write_bytes(data)

    header = read_header(tmp_path)

    assert (header.format, header.files, header.architecture) == (Format.SAFETENSORS, 2, "llama")
    assert (header.weights_bytes, header.vocabulary) == (2 * 96 * 64 * 2, 96)
    assert header.has_chat_template is has_template


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["config.json"], "holds no model in safetensors"),
        (["model.safetensors"], "holds no model in safetensors"),
        (["config.json", "model-00001-of-00002.safetensors"], "not all are there"),
    ],
)
def test_a_folder_that_is_no_whole_model_says_what_it_lacks(
    tmp_path: Path, there: list[str], said: str
) -> None:
    for name in there:
        (tmp_path / name).write_bytes(CONFIG)

    with pytest.raises(ModelNotFound) as caught:
        read_header(tmp_path)

    assert said in caught.value.what
