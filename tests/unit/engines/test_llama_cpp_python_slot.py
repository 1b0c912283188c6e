"""What is asked of llama-cpp-python's one slot, and the tokens in a file of llama.cpp's."""

from __future__ import annotations

import struct

import pytest

from localllm.engines.workers.http import Refusal
from localllm.engines.workers.llama_cpp_python.request import (
    SlotAction,
    SlotOrder,
    is_slot_path,
    slot_order,
)
from localllm.engines.workers.llama_cpp_python.slot import tokens_in

MAGIC = 0x67677371


def a_file(*tokens: int, magic: int = MAGIC, count: int | None = None) -> bytes:
    told = len(tokens) if count is None else count
    return struct.pack(f"=3I{len(tokens)}i", magic, 3, told, *tokens) + b"the state"


@pytest.mark.parametrize(
    ("path", "body", "order"),
    [
        ("/slots/0?action=save", {"filename": "a.kv"}, SlotOrder(SlotAction.SAVE, "a.kv")),
        ("/slots/0?action=restore", {"filename": "a b"}, SlotOrder(SlotAction.RESTORE, "a b")),
        ("/slots/0?action=erase", {}, SlotOrder(SlotAction.ERASE, "")),
        ("/slots/0?action=erase", {"filename": "../x"}, SlotOrder(SlotAction.ERASE, "")),
    ],
)
def test_a_slot_is_saved_restored_or_erased_as_llama_cpps_server_is_asked_to(
    path: str, body: dict[str, object], order: SlotOrder
) -> None:
    assert is_slot_path(path)
    assert slot_order(path, body) == order


@pytest.mark.parametrize("path", ["/slots/1?action=save", "/slots/0", "/slots/0?action=load"])
def test_another_slot_or_action_is_refused(path: str) -> None:
    with pytest.raises(Refusal, match="slots:"):
        slot_order(path, {"filename": "a.kv"})


@pytest.mark.parametrize("name", ["", ".kv", "..", "a/b", "../a", "a\\b", "a\0", "a\n", None, 7])
def test_a_name_that_is_not_plainly_one_of_a_file_is_refused(name: object) -> None:
    with pytest.raises(Refusal, match="filename:"):
        slot_order("/slots/0?action=restore", {"filename": name})


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
