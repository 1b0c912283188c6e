"""Files with a model's header and length, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.engines.sparse import Part, write_sparse

GIB = 1 << 30


def test_a_file_has_the_models_length_and_occupies_its_header(tmp_path: Path) -> None:
    file = write_sparse([Part(b"GGUF" * 1000, 40 * GIB)], tmp_path)

    assert file.stat().st_size == 40 * GIB
    assert file.stat().st_blocks * 512 < 1 << 20
    with file.open("rb") as opened:
        assert opened.read(4004) == b"GGUF" * 1000 + bytes(4)


def test_parts_are_named_as_llama_cpp_looks_for_them(tmp_path: Path) -> None:
    first = write_sparse([Part(b"1", 10), Part(b"2", 20), Part(b"3", 30)], tmp_path)

    assert first == tmp_path / "model-00001-of-00003.gguf"
    assert {f.name: (f.read_bytes()[:1], f.stat().st_size) for f in tmp_path.iterdir()} == {
        "model-00001-of-00003.gguf": (b"1", 10),
        "model-00002-of-00003.gguf": (b"2", 20),
        "model-00003-of-00003.gguf": (b"3", 30),
    }


@pytest.mark.parametrize("parts", [[], [Part(b"longer", 3)]], ids=["no part", "longer than itself"])
def test_what_cannot_be_a_model_is_not_written(tmp_path: Path, parts: list[Part]) -> None:
    with pytest.raises(ValueError, match="at least one part"):
        write_sparse(parts, tmp_path)

    assert not list(tmp_path.iterdir())
