"""CUDA_VISIBLE_DEVICES, read as CUDA reads it."""

from __future__ import annotations

import pytest

from localllm.hardware.visibility import decide_visible

UUIDS = ["GPU-3f00", "GPU-3fa1", "GPU-77bb"]


def visible(wanted: str | None, *, names=("a", "a", "a"), pci_order=False):
    return decide_visible(wanted, names=names, uuids=UUIDS, pci_order=pci_order)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (None, {0, 1, 2}),
        ("0,2", {0, 2}),
        (" 2 , 0 ", {0, 2}),
        ("GPU-77bb,GPU-3f00", {0, 2}),
        ("GPU-7,1", {1, 2}),
        ("1,", {1}),
        ("1,-1,2", {1}),
    ],
)
def test_cards_go_by_number_uuid_or_its_beginning(wanted: str | None, numbers: set[int]) -> None:
    assert (visible(wanted).numbers, visible(wanted).warnings) == (numbers, ())


@pytest.mark.parametrize(
    ("wanted", "numbers", "problem"),
    [
        ("0,3,1", {0}, "'3', which names no single card"),
        ("GPU-3f,0", set(), "'GPU-3f', which names no single card"),
        ("1,gpu-77bb", {1}, "'gpu-77bb', which names no single card"),
        ("NoDevFiles", set(), "'NoDevFiles', which names no single card"),
        ("0,MIG-1234", {0}, "a MIG slice (MIG-1234)"),
        ("0,1,0", set(), "names a card twice"),
        ("", set(), "hides all 3 NVIDIA cards"),
        ("-1,0", set(), "hides all 3 NVIDIA cards"),
    ],
)
def test_what_ends_the_list_is_named(wanted: str, numbers: set[int], problem: str) -> None:
    shown = visible(wanted)

    assert shown.numbers == numbers
    assert [problem in warning for warning in shown.warnings] == [True]


@pytest.mark.parametrize(
    ("wanted", "names", "pci_order", "doubted"),
    [
        ("1", ["fast", "slow", "slow"], False, True),
        ("1", ["fast", "slow", "slow"], True, False),
        ("1", ["same", "same", "same"], False, False),
        ("GPU-77bb", ["fast", "slow", "slow"], False, False),
        (None, ["fast", "slow", "slow"], False, False),
    ],
)
def test_a_number_is_doubted_where_cuda_may_count_otherwise(
    wanted: str | None, names: list[str], pci_order: bool, doubted: bool
) -> None:
    warnings = visible(wanted, names=names, pci_order=pci_order).warnings

    assert ["a UUID, which is sure" in warning for warning in warnings] == [True] * doubted
