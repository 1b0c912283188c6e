"""What tensors take in a buffer, rounded up as each backend does; and the sums made of them."""

from __future__ import annotations

import pytest

from localllm.fit.placing import Arrangement, arrange, on_host
from localllm.fit.shape import Shape, shape_of
from localllm.fit.tables import grouped, tabulate
from localllm.fit.weights import allocated_bytes
from tests.unit.fit.a_header import a_tensor, llama_8b, smollm2
from tests.unit.fit.test_compute import a_shape

EXPERTS = a_shape("qwen3-30b-a3b")
SMOL = shape_of(smollm2())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("cpu", 32), ("metal", 32), ("vulkan", 64), ("cuda", 128), ("rocm", 128), ("new", 256)],
)
def test_a_small_tensor_takes_the_backends_step_and_an_unknown_ones_the_longest(
    kind: str, expected: int
) -> None:
    one = a_tensor("x", 5, stored="f32")

    assert allocated_bytes([one, one], kind) == 2 * expected


@pytest.mark.parametrize(
    ("stored", "elements", "kind", "more"),
    [
        ("q8_0", 576, "cuda", 448 * 34 // 32),
        ("q8_0", 576, "rocm", 448 * 34 // 32),
        ("q8_0", 512, "cuda", 0),
        ("q8_0", 576, "vulkan", 0),
        ("q8_0", 576, "cpu", 0),
        ("f32", 576, "cuda", 0),
        ("bf16", 576, "cuda", 0),
    ],
)
def test_only_cards_of_cuda_and_rocm_lengthen_a_quantized_row(
    stored: str, elements: int, kind: str, more: int
) -> None:
    tensor = a_tensor("x", elements, 64, stored=stored)

    assert allocated_bytes([tensor], kind) == pytest.approx(tensor.size_bytes + more, abs=128)


def tensors_bytes(shape: Shape) -> int:
    """All tensors once, a token table that serves twice as well."""
    return sum(t.size_bytes for t in shape.header.tensors)


@pytest.mark.parametrize("shape", [SMOL, shape_of(llama_8b()), EXPERTS])
def test_on_the_host_the_sum_is_the_files_tensors(shape: Shape) -> None:
    (on_the_host,) = tabulate(shape, []).on_devices(on_host(shape), [])

    assert on_the_host == pytest.approx(tensors_bytes(shape), abs=32 * len(shape.header.tensors))


@pytest.mark.parametrize(
    "arrangement",
    [
        arrange(EXPERTS, [1]),
        arrange(EXPERTS, [2, 1]),
        arrange(EXPERTS, [1], on_devices=20),
        arrange(EXPERTS, [1], experts_on_host=30),
        arrange(EXPERTS, [3, 1], experts_on_host=40),
        arrange(EXPERTS, [1], on_devices=20, experts_on_host=40),
    ],
    ids=["one", "two", "partly", "aside", "aside of two", "partly and aside"],
)
def test_wherever_layers_and_experts_go_no_tensor_is_lost_or_there_twice(
    arrangement: Arrangement,
) -> None:
    kinds = ["metal"] * len(arrangement.devices)

    sizes = tabulate(EXPERTS, kinds).on_devices(arrangement, kinds)

    # its token table is no output layer
    tensors = len(EXPERTS.header.tensors)
    assert sum(sizes) == pytest.approx(tensors_bytes(EXPERTS), abs=32 * tensors)


def test_what_is_put_aside_are_the_experts_of_the_first_layers_alone() -> None:
    tables = tabulate(EXPERTS, ["metal"])
    (all_on_card, _), (card, host) = (
        tables.on_devices(arrange(EXPERTS, [1], experts_on_host=n), ["metal"]) for n in (0, 3)
    )

    aside = sum(layer.experts_bytes for layer in EXPERTS.layers[:3])
    assert all_on_card - card == aside
    assert host == aside + sum(t.size_bytes for t in EXPERTS.input_tables)


def test_layers_that_keep_the_same_are_counted_together() -> None:
    shape = a_shape("gpt-oss-20b")
    (share,) = arrange(shape, [1]).devices

    groups = grouped(tabulate(shape, []), share)

    assert [(layer.windowed, count) for layer, count in groups] == [(True, 12), (False, 12)]
