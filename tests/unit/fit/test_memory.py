"""Weights and buffers of one model, wherever its layers are, against the engines' logs."""

from __future__ import annotations

import pytest

from localllm.fit.cache import Setting
from localllm.fit.memory import memory_of
from localllm.fit.placing import arrange, on_host
from localllm.fit.plan import Memory
from localllm.fit.shape import shape_of
from tests.unit.fit.a_header import MIB, a_tensor, llama_8b, smollm2

TABLE_BYTES = 30_081_024
SMOL, LLAMA = shape_of(smollm2()), shape_of(llama_8b())


def short(context: int = 2048, parallel: int = 1) -> Setting:
    return Setting(context, parallel, 512)


@pytest.mark.parametrize(
    ("context", "parallel", "kv", "output", "compute"),
    [
        (2048, 1, 45.00, 0.19, 16.64),
        (2048, 4, 45.00, 0.75, 16.64),
        (8192, 1, 180.00, 0.19, 22.64),
        (8192, 4, 180.00, 0.75, 22.64),
    ],
)
def test_smollm2_takes_what_the_engine_logs(
    context: int, parallel: int, kv: float, output: float, compute: float
) -> None:
    (memory,) = memory_of(SMOL, short(context, parallel), on_host(SMOL), ())

    assert (memory.weights, round(memory.weights / MIB, 2)) == (96_576_768, 92.10)
    assert [round(b / MIB, 2) for b in (memory.kv_cache, memory.output, memory.compute)] == [
        pytest.approx(kv),
        pytest.approx(output),
        pytest.approx(compute),
    ]


def in_mib(memory: Memory) -> tuple[float, float]:
    """Weights and cache, to the log's two decimals."""
    return round(memory.weights / MIB, 2), round(memory.kv_cache / MIB, 2)


@pytest.mark.parametrize(
    ("split", "on_devices", "devices", "host"),
    [
        ((1,), None, [(92.10, 45.00)], (28.69, 0.0)),
        ((2, 1), None, [(44.39, 31.50), (47.71, 13.50)], (28.69, 0.0)),
        ((1,), 10, [(47.71, 13.50)], (73.08, 31.50)),
    ],
    ids=["whole", "over two devices", "ten layers"],
)
def test_layers_go_where_llama_server_puts_them(
    split: tuple[int, ...],
    on_devices: int | None,
    devices: list[tuple[float, float]],
    host: tuple[float, float],
) -> None:
    """Logged by llama-server b10434 with Vulkan; what it maps of the file is the sum here."""
    arrangement = arrange(SMOL, split, on_devices=on_devices)

    *found, on_the_host = memory_of(SMOL, short(), arrangement, ["vulkan"] * len(split))

    assert [in_mib(memory) for memory in found] == devices
    assert in_mib(on_the_host) == host


def test_a_token_table_that_is_the_output_too_is_on_the_host_and_on_the_device() -> None:
    device, host = memory_of(SMOL, short(), arrange(SMOL, [1]), ["cuda"])

    assert host.weights == TABLE_BYTES
    assert device.weights >= smollm2().weights_bytes


def test_a_token_table_of_its_own_is_on_the_host_only() -> None:
    device, host = memory_of(LLAMA, short(), arrange(LLAMA, [1]), ["cuda"])

    table = 4096 * 128_256 * 34 // 32
    assert (host.weights, device.weights) == (table, llama_8b().weights_bytes - table)


def test_a_cards_rows_are_lengthened_to_whole_512s() -> None:
    device, _ = memory_of(SMOL, short(), arrange(SMOL, [1]), ["cuda"])
    vulkan, _ = memory_of(SMOL, short(), arrange(SMOL, [1]), ["vulkan"])

    down, table = a_tensor("x", 1536, 576), a_tensor("x", 576, 1, stored="q8_0")
    quantized = 30 * 6 + 1  # seven matrices a layer, of which one has rows of 3 x 512
    assert down.shape[0] % 512 == 0
    lengthened = 30 * 6 * (448 * 20 // 32) + 448 * table.size_bytes // 576
    assert device.weights - vulkan.weights == pytest.approx(lengthened, abs=128 * quantized)


def test_memory_adds_up_by_use() -> None:
    one, other = Memory(1, 2, 3, 4, overhead=5), Memory(10, 20, 30, 40, projector=50)

    assert one + other == Memory(11, 22, 33, 44, projector=50, overhead=5)
    assert (one + other).total == one.total + other.total == 165
