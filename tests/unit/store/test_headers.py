"""A model's header, read from a file that may be anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.errors import LocalLLMError, ModelNotFound
from localllm.store.headers import read_header
from tests.unit.formats.a_gguf import a_file, a_header


def test_the_header_of_a_file_on_disk_is_read(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(a_file(a_header()))

    header = read_header(file)

    assert (header.name, header.architecture) == ("Tiny", "llama")
    assert header.file_bytes == file.stat().st_size


def test_a_file_that_cannot_be_opened_is_named_with_the_systems_reason(tmp_path: Path) -> None:
    for file, reason in ((tmp_path / "none.gguf", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ModelNotFound) as caught:
            read_header(file)

        assert caught.value.what == f"{file} cannot be read."
        assert reason in caught.value.why


@pytest.mark.parametrize("data", [b"", b"no model at all, only text", a_file(a_header())[:200]])
def test_a_file_that_is_no_whole_model_is_the_parsers_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)

    with pytest.raises(LocalLLMError) as caught:
        read_header(file)

    assert caught.value.http_status == 422
