"""Compute buffers against what llama.cpp logged for made-up models of the llama architecture.

The processor's: xllamacpp 2026.10.11549. The device's: llama-server b10434 with Vulkan on
Mesa's llvmpipe. All with flash attention and a unified cache, on 2026-11-24.
"""

from __future__ import annotations

import pytest

from localllm.fit.graph import (
    Batch,
    Width,
    device_compute_bytes,
    host_compute_bytes,
    staging_bytes,
)

MIB = 1 << 20
PRINTED = 0.0051
"""The log has two decimals."""

# layers, embedding, heads, heads_kv, head dimension, feed-forward, vocabulary,
# context, slots, micro batch; MiB of the compute buffer
ON_THE_HOST = [
    (4, 6144, 24, 24, 256, 3072, 12000, 256, 2, 256, 48.13),
    (1, 1984, 1, 1, 256, 6720, 4096, 1024, 4, 512, 20.39),
    (1, 1280, 16, 16, 80, 5120, 8000, 1024, 1, 256, 9.26),
    (3, 256, 2, 1, 32, 1024, 32000, 8192, 2, 256, 8.26),
    (4, 1024, 16, 1, 64, 8192, 4096, 2048, 4, 512, 60.02),
    (5, 2240, 4, 2, 64, 4480, 12000, 8192, 4, 256, 28.07),
    (3, 5120, 40, 1, 128, 15360, 300, 16384, 4, 1024, 312.04),
    (4, 256, 4, 1, 64, 768, 1024, 4096, 4, 1024, 22.04),
    (2, 1792, 1, 1, 128, 3584, 8000, 2048, 1, 128, 10.13),
    (4, 3840, 16, 4, 128, 3840, 12000, 1024, 1, 256, 23.01),
    (2, 1536, 24, 2, 64, 3072, 4096, 4096, 4, 1024, 62.04),
    (2, 1024, 8, 2, 128, 2752, 4096, 16384, 1, 64, 5.27),
    (3, 2112, 32, 2, 128, 8448, 4096, 1024, 1, 1024, 142.29),
    (2, 1536, 24, 24, 64, 6144, 4096, 16384, 1, 1024, 134.04),
    (30, 576, 9, 3, 64, 1536, 49152, 2048, 1, 512, 16.64),
    (30, 576, 9, 3, 64, 1536, 49152, 8192, 4, 512, 22.64),
]

# the same; MiB on the device, MiB on the host beside it
ON_A_DEVICE = [
    (4, 704, 8, 4, 256, 2112, 4096, 4096, 1, 1024, 46.27, 13.52),
    (5, 1472, 8, 2, 64, 6144, 12000, 4096, 2, 512, 47.76, 9.76),
    (5, 3392, 1, 1, 256, 13568, 4096, 8192, 4, 512, 101.76, 21.26),
    (3, 2496, 32, 2, 32, 9984, 8000, 2048, 1, 128, 18.56, 2.94),
    (2, 576, 8, 4, 128, 1600, 1024, 16384, 1, 64, 3.7, 2.28),
    (3, 4096, 32, 32, 128, 16384, 16000, 4096, 4, 512, 116.01, 20.01),
    (3, 576, 9, 3, 64, 1600, 4096, 2048, 1, 64, 1.7, 0.53),
    (30, 576, 9, 3, 64, 1536, 49152, 2048, 1, 512, 13.26, 4.26),
    (30, 576, 9, 3, 64, 1536, 49152, 8192, 1, 512, 19.26, 10.26),
]


def a_case(row: tuple[float, ...]) -> tuple[Width, Batch, int]:
    layers, embedding, heads, heads_kv, dim, feed_forward, vocabulary = map(int, row[:7])
    context, slots, micro_batch = map(int, row[7:10])
    query, key = heads * dim, heads_kv * dim
    width = Width(embedding, query, key, key, query, feed_forward, vocabulary)
    return width, Batch(min(context, micro_batch), context, slots), layers


@pytest.mark.parametrize("row", ON_THE_HOST)
def test_the_processors_buffer_is_what_the_engine_logs(row: tuple[float, ...]) -> None:
    assert host_compute_bytes(*a_case(row)) / MIB == pytest.approx(row[10], abs=PRINTED)


@pytest.mark.parametrize("row", ON_A_DEVICE)
def test_a_devices_buffer_is_never_below_the_log(row: tuple[float, ...]) -> None:
    predicted = device_compute_bytes(*a_case(row)) / MIB

    assert row[10] - PRINTED < predicted < 1.25 * row[10] + PRINTED


@pytest.mark.parametrize("row", ON_A_DEVICE)
def test_the_hosts_buffer_beside_a_device_is_what_an_older_engine_logs(
    row: tuple[float, ...],
) -> None:
    width, batch, _ = a_case(row)

    predicted = staging_bytes(width, batch, mixed_batches=False) / MIB

    assert predicted == pytest.approx(row[11], abs=PRINTED)
    assert staging_bytes(width, batch) / MIB > predicted


def test_layers_after_the_third_need_nothing_more() -> None:
    width, batch, _ = a_case(ON_THE_HOST[0])

    assert host_compute_bytes(width, batch, 3) == host_compute_bytes(width, batch, 100)


def test_a_large_vocabulary_counts_once_it_outgrows_the_layers() -> None:
    width, batch, _ = a_case((2, 64, 1, 1, 64, 64, 262_144, 256, 64, 256))

    assert host_compute_bytes(width, batch, 2) > 64 * 262_144 * 4
