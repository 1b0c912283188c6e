"""A plan's numbers, each with its formula: they add up to the plan, and the formulas are right."""

from __future__ import annotations

import re
from math import prod

import pytest

from localllm.events import DeviceId
from localllm.fit.decide import plan
from localllm.fit.explain import Explained, explain
from localllm.fit.plan import Budget, Memory, Plan, Wish
from localllm.fit.shape import Shape, shape_of
from tests.unit.fit.a_header import GIB, MIB, llama_8b, smollm2
from tests.unit.fit.test_compute import a_shape

SMOL, LLAMA = shape_of(smollm2()), shape_of(llama_8b())


def planned(shape: Shape, *cards: float, wish: Wish | None = None) -> Plan:
    host = Budget(DeviceId("cpu"), "host", 200 * GIB, None, is_host=True)
    devices = [
        Budget(DeviceId(f"cuda:{n}"), f"card {n}", int(usable), None, 300 * MIB)
        for n, usable in enumerate(cards)
    ]
    return plan(shape.header, [*devices, host], wish or Wish(exact=False))


PLANS = [
    (SMOL, planned(SMOL)),
    (SMOL, planned(SMOL, 8 * GIB, wish=Wish(projector_bytes=50 * MIB, exact=False))),
    (LLAMA, planned(LLAMA, 4 * GIB, 4 * GIB)),
    (LLAMA, planned(LLAMA, 4 * GIB)),
    (a_shape("qwen3-30b-a3b"), planned(a_shape("qwen3-30b-a3b"), 12 * GIB)),
    (a_shape("gpt-oss-20b"), planned(a_shape("gpt-oss-20b"), 24 * GIB)),
    (a_shape("qwen3-next-80b"), planned(a_shape("qwen3-next-80b"), 24 * GIB)),
    (a_shape("gemma4-e4b"), planned(a_shape("gemma4-e4b"), 24 * GIB)),
    (a_shape("bert-base"), planned(a_shape("bert-base"), 24 * GIB)),
]
IDS = [f"{shape.header.architecture}-{len(plan.placement)}" for shape, plan in PLANS]


def summed(explained: tuple[Explained, ...], device: DeviceId) -> Memory:
    parts = {"weights": 0, "kv_cache": 0, "compute": 0, "output": 0}
    for one in explained:
        if one.device == device:
            parts[one.part] = parts.get(one.part, 0) + one.size_bytes
    return Memory(**parts)


@pytest.mark.parametrize(("shape", "decided"), PLANS, ids=IDS)
def test_what_is_explained_adds_up_to_the_plan_device_by_device(
    shape: Shape, decided: Plan
) -> None:
    explained = explain(shape, decided)

    for placed in decided.placement:
        assert summed(explained, placed.device) == placed.memory
    assert all(one.size_bytes > 0 and one.formula for one in explained)


def value_of(formula: str) -> float:
    """Work a formula out: its numbers multiplied, those in brackets added first."""
    inner = re.search(r"\(([^)]*)\)", formula)
    added = sum(map(float, re.findall(r"\d+", inner[1]))) if inner else 1
    rest = formula.replace(inner[0], "") if inner else formula
    bits = 1 / 8 if rest.endswith("bits") else 1
    return added * bits * prod(map(float, re.findall(r"\d+(?:\.\d+)?", rest)))


@pytest.mark.parametrize(("shape", "decided"), PLANS, ids=IDS)
def test_a_formula_gives_its_number(shape: Shape, decided: Plan) -> None:
    counted = [
        one
        for one in explain(shape, decided)
        if one.part in {"kv_cache", "output", "recurrent_state"}
    ]

    assert counted
    for one in counted:
        assert value_of(one.formula) == one.size_bytes, one.formula


def formulas(shape: Shape, decided: Plan, part: str) -> list[str]:
    return [one.formula for one in explain(shape, decided) if one.part == part]


def test_the_cache_of_smollm2_is_told_as_anyone_would_write_it() -> None:
    assert formulas(SMOL, planned(SMOL), "kv_cache") == [
        "30 layers x 8192 cells x (192 keys + 192 values) x 16 bits"
    ]


def test_layers_with_a_window_are_told_apart() -> None:
    shape = a_shape("gpt-oss-20b")
    decided = planned(shape, 24 * GIB, wish=Wish(context=8192, parallel=4, exact=False))

    assert formulas(shape, decided, "kv_cache") == [
        "12 layers x 1024 cells x (512 keys + 512 values) x 16 bits",
        "12 layers x 8192 cells x (512 keys + 512 values) x 16 bits",
    ]


def test_an_eight_bit_cache_counts_its_scales() -> None:
    decided = planned(SMOL, wish=Wish(kv_type="q8_0", exact=False))

    assert formulas(SMOL, decided, "kv_cache")[0].endswith("x 8.5 bits")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (
            0,
            [
                "the token table, which is looked up here, tensors of layers 0 to 29, the output layer"
            ],
        ),
        (
            1,
            [
                "tensors of layers 0 to 29, the output layer (the token table again)",
                "the token table, which is looked up here",
            ],
        ),
    ],
    ids=["on the host", "on a card"],
)
def test_weights_are_told_by_layers_and_tables(number: int, expected: list[str]) -> None:
    assert formulas(*PLANS[number], "weights") == expected


def test_experts_are_told_where_they_are_and_where_they_are_not() -> None:
    shape, decided = PLANS[4]
    last = decided.experts_on_host - 1

    on_card, on_host = formulas(shape, decided, "weights")

    assert (
        on_card == f"tensors of layers 0 to 47, the output layer, no experts of layers 0 to {last}"
    )
    assert on_host == (
        f"the token table, which is looked up here, the experts of layers 0 to {last}"
    )


def test_what_is_not_there_is_not_explained() -> None:
    parts = {one.part for one in explain(SMOL, planned(SMOL))}

    assert parts == {"weights", "kv_cache", "compute", "output"}
