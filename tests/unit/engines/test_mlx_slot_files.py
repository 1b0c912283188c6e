"""How the file of a slot is written. Needs mlx-lm, and no model."""

from __future__ import annotations

from pathlib import Path

import pytest

from localllm.engines.workers.http import Refusal
from localllm.engines.workers.mlx import slot_files


def write(file: Path) -> int:
    return slot_files._write(file, slot_files._Held([1], [(1, [])]), {}, lambda: None)


@pytest.mark.parametrize("name", ["a.kv", "a.draft"])
def test_what_cannot_be_written_leaves_the_file_of_that_name_as_it_was(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_asked: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / name
    file.write_bytes(b"before")
    monkeypatch.setattr(slot_files, "save_prompt_cache", fails)

    with pytest.raises(Refusal, match="cannot be saved"):
        write(file)

    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"before")]
