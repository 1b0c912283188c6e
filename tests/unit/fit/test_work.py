"""What one token goes through on each device: bytes read, operations, layers."""

from __future__ import annotations

from math import prod

import pytest

from localllm.events import DeviceId
from localllm.fit.cache import Setting
from localllm.fit.layout import Layout
from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.plan import Budget
from localllm.fit.shape import Shape, shape_of
from localllm.fit.speed import Work
from localllm.fit.tables import tabulate
from localllm.fit.work import speed_of, stages_of
from tests.unit.fit.a_header import GIB, MIB, llama_8b, smollm2
from tests.unit.fit.test_compute import a_shape

SMOL, LLAMA, EXPERTS = shape_of(smollm2()), shape_of(llama_8b()), a_shape("qwen3-30b-a3b")
HOST = Budget(DeviceId("cpu"), "host", 64 * GIB, 60_000_000_000, is_host=True)


def a_card(number: int, bandwidth: int | None = 1_000_000_000_000) -> Budget:
    return Budget(DeviceId(f"cuda:{number}"), f"card {number}", 64 * GIB, bandwidth)


def a_layout(shape: Shape, arrangement: Arrangement, *, bandwidth: int | None = 10**12) -> Layout:
    cards = tuple(a_card(n, bandwidth) for n, _ in enumerate(arrangement.devices))
    setting = Setting(8192, 4, 512)
    return Layout(tabulate(shape, ["cuda"]), HOST, cards, arrangement, setting, ())


def works(layout: Layout, context: int = 8192) -> list[Work]:
    return [stage.work for stage in stages_of(layout, context)]


def read_once(shape: Shape) -> int:
    """All weights but a token table of its own, of which one row is looked up."""
    tables = {t.name for t in shape.input_tables} - {t.name for t in shape.output_tensors}
    return sum(t.size_bytes for t in shape.header.tensors if t.name not in tables)


@pytest.mark.parametrize("shape", [SMOL, LLAMA])
def test_a_token_reads_every_weight_once_and_the_token_table_only_as_the_output(
    shape: Shape,
) -> None:
    (on_card,) = works(a_layout(shape, arrange(shape, [1])))

    assert on_card.weight_bytes == read_once(shape)
    assert works(a_layout(shape, on_host(shape))) == [on_card]


def test_of_experts_a_token_reads_those_that_it_uses() -> None:
    (on_card,) = works(a_layout(EXPERTS, arrange(EXPERTS, [1])))

    experts = sum(layer.experts_bytes for layer in EXPERTS.layers)
    assert on_card.weight_bytes == read_once(EXPERTS) - experts + experts * 8 // 128
    assert on_card.experts


def test_two_operations_for_each_weight_that_a_token_meets() -> None:
    (on_card,) = works(a_layout(SMOL, arrange(SMOL, [1])))

    assert on_card.flops == 2 * sum(prod(t.shape) for t in SMOL.header.tensors)


def test_one_streams_cache_is_read_whatever_the_number_of_slots() -> None:
    empty, full = (
        works(a_layout(SMOL, arrange(SMOL, [1])), context)[0].kv_bytes for context in (256, 8192)
    )

    assert (full, empty) == (180 * MIB, 180 * MIB // 32)


@pytest.mark.parametrize(
    "arrangement",
    [
        arrange(EXPERTS, [2, 1]),
        arrange(EXPERTS, [1], on_devices=20),
        arrange(EXPERTS, [1], experts_on_host=30),
    ],
    ids=["two cards", "partly", "experts aside"],
)
def test_wherever_it_goes_a_token_reads_the_same_in_all(arrangement: Arrangement) -> None:
    (whole,) = works(a_layout(EXPERTS, arrange(EXPERTS, [1])))

    parts = works(a_layout(EXPERTS, arrangement))

    assert len(parts) == 2
    assert sum(p.weight_bytes for p in parts) == pytest.approx(whole.weight_bytes, abs=2)
    assert sum(p.kv_bytes for p in parts) == whole.kv_bytes
    assert sum(p.layers for p in parts) == whole.layers == 48
    assert sum(p.flops for p in parts) == pytest.approx(whole.flops)


def test_a_host_that_only_looks_tokens_up_is_no_stage() -> None:
    stages = list(stages_of(a_layout(LLAMA, arrange(LLAMA, [1])), 8192))

    assert [stage.kind for stage in stages] == ["cuda"]


def test_experts_on_the_host_are_slower_than_on_the_card_and_quicker_than_all_on_the_host() -> None:
    ways = [
        arrange(EXPERTS, [1]),
        arrange(EXPERTS, [1], experts_on_host=24),
        arrange(EXPERTS, [1], experts_on_host=48),
        on_host(EXPERTS),
    ]

    speeds = [speed_of(a_layout(EXPERTS, way), 8192) for way in ways]

    tps = [speed.decode_tps for speed in speeds if speed is not None]
    assert len(tps) == 4
    assert tps == sorted(tps, reverse=True)


def test_a_bandwidth_that_nobody_knows_gives_no_speed() -> None:
    assert speed_of(a_layout(LLAMA, arrange(LLAMA, [1]), bandwidth=None), 8192) is None
