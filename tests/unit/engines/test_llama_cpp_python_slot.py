"""The tokens in a file of llama.cpp's, and how one is written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from localllm.engines.workers.llama_cpp_python.slot import Moved, Slot, tokens_in

MAGIC = 0x67677371


def a_file(*tokens: int, magic: int = MAGIC, count: int | None = None) -> bytes:
    told = len(tokens) if count is None else count
    return struct.pack(f"=3I{len(tokens)}i", magic, 3, told, *tokens) + b"the state"


def test_the_tokens_of_a_file_are_read() -> None:
    assert list(tokens_in(a_file(5, 0, 9), vocabulary=10, most=3)) == [5, 0, 9]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        a_file(1, 2)[:11],
        a_file(1, 2, count=3)[:20],
        a_file(1, 2, magic=MAGIC + 1),
        a_file(),
        a_file(1, 2, 3, 4),
        a_file(1, 2, count=2**32 - 1),
        a_file(1, 10),
        a_file(1, -1),
    ],
)
def test_a_file_without_such_tokens_is_none(data: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        tokens_in(data, vocabulary=10, most=3)


class _Tokens(list[int]):
    def __getitem__(self, part: Any) -> Any:
        return _Tokens(list.__getitem__(self, part))

    def tolist(self) -> list[int]:
        return list(self)


class _Llama:
    """Three tokens are held; llama.cpp itself in short."""

    ctx, n_tokens, input_ids = None, 3, _Tokens([5, 0, 9])

    def llama_get_memory(self, _context: object) -> None:
        """It has one."""

    def llama_memory_seq_rm(self, *_asked: object) -> bool:
        return True

    def llama_memory_seq_pos_max(self, *_asked: object) -> int:
        return self.n_tokens - 1

    def llama_state_seq_save_file(self, _context: object, path: bytes, *_asked: object) -> int:
        return Path(path.decode()).write_bytes(b"state")


@pytest.mark.parametrize("name", ["a.kv", "a.draft"])
def test_a_slot_is_kept_under_any_name_that_it_is_saved_by(tmp_path: Path, name: str) -> None:
    llama = _Llama()

    assert Slot(llama, llama, tmp_path).save(name) == Moved(3, 5)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [(name, b"state")]
