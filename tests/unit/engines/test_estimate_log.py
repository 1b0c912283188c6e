"""What llama.cpp says of a model that it measured and did not load."""

from __future__ import annotations

import pytest

from localllm.engines.estimate_log import (
    Answered,
    Estimate,
    NoEstimate,
    Refused,
    parse_estimate,
    until_measured,
)
from localllm.engines.load_log import LOG_STEP_BYTES, Buffer

MIB = 1 << 20

TWO_DEVICES_AND_HOST = """\
0.00.327.327 D load_tensors: layer   0 assigned to device CPU, is_swa = 0
0.00.327.330 D load_tensors: layer   1 assigned to device Vulkan0, is_swa = 0
0.00.327.333 D load_tensors: layer   2 assigned to device Vulkan1, is_swa = 0
0.00.327.335 D load_tensors: layer   3 assigned to device Vulkan1, is_swa = 0
0.00.333.400 I load_tensors: offloaded 3/4 layers to GPU
0.00.333.419 I load_tensors:      Vulkan0 model buffer size =     0.00 MiB
0.00.334.113 I llama_context: Vulkan_Host  output buffer size =     0.19 MiB
0.00.334.200 D llama_kv_cache: layer   0: dev = CPU
0.00.334.201 D llama_kv_cache: layer   1: dev = Vulkan0
0.00.334.202 D llama_kv_cache: layer   2: dev = Vulkan1
0.00.334.308 I llama_kv_cache:        CPU KV buffer size =     0.00 MiB
0.00.334.312 I llama_kv_cache:    Vulkan0 KV buffer size =     0.00 MiB
0.00.334.321 I llama_kv_cache: size =   31.50 MiB (  2048 cells,   3 layers,  1/1 seqs), K (f16):   15.75 MiB, V (f16):   15.75 MiB
0.00.344.791 I sched_reserve:    Vulkan0 compute buffer size =    15.70 MiB
0.00.344.824 I sched_reserve:    Vulkan1 compute buffer size =    13.26 MiB
0.00.344.826 I sched_reserve: Vulkan_Host compute buffer size =     4.26 MiB
0.00.345.355 I common_memory_breakdown_print: | memory breakdown [MiB]                         | total   free    self   model   context   compute    unaccounted |
0.00.345.383 I common_memory_breakdown_print: |   - Vulkan0 (llvmpipe (LLVM 15.0.6, 256 bits)) |  2048 = 2048 + (  40 =    14 +      10 +      15) +         -40 |
0.00.345.384 I common_memory_breakdown_print: |   - Vulkan1 (llvmpipe (LLVM 15.0.6, 256 bits)) |  2048 = 2048 + (  49 =    32 +      10 +      13) +         -49 |
0.00.345.385 I common_memory_breakdown_print: |   - Host                                       |                   87 =    73 +      10 +       4                |
"""
"""llama-server 10434 on Mesa's software device twice, as SmolLM2 of three layers would be."""

AFTER = """\
0.00.356.172 I common_params_fit_impl: projected memory use with initial parameters [MiB]:
0.00.356.220 I common_fit_params: fitting params to free memory took 0.26 seconds
0.00.584.108 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
"""

HYBRID_REPACKED = """\
0.00.300.000 D load_tensors: layer   0 assigned to device CPU, is_swa = 0
0.00.300.001 D llama_kv_cache: layer   3: dev = CPU
0.00.300.002 I llama_kv_cache: size =  512.00 MiB (  8192 cells,  16 layers,  1/1 seqs), K (f16):  256.00 MiB, V (f16):  256.00 MiB
0.00.300.003 I llama_memory_recurrent, layer   0: dev = CPU
0.00.300.004 I llama_memory_recurrent:        CPU RS buffer size =   149.62 MiB
0.00.300.005 I sched_reserve:        CPU compute buffer size =   160.02 MiB
0.00.300.006 I common_memory_breakdown_print: | memory breakdown [MiB] | total   free     self   model   context   compute    unaccounted |
0.00.300.007 I common_memory_breakdown_print: |   - Host               |                  2820 =  1999 +     661 +     160                |
0.00.300.008 I common_memory_breakdown_print: |   - CPU_REPACK         |                 13062 = 13062 +       0 +       0                |
"""
"""xllamacpp 2026.10.11549 with the dimensions of Qwen3.6-27B."""


def sizes(answered: Answered) -> dict[tuple[str, str], float]:
    assert isinstance(answered, Estimate)
    return {(b.device, b.use): round(b.size_bytes / MIB, 2) for b in answered.report.buffers}


def test_every_device_has_its_weights_its_cache_and_its_buffers() -> None:
    answered = parse_estimate(TWO_DEVICES_AND_HOST)

    assert sizes(answered) == {
        ("Vulkan0", "model"): 14,
        ("Vulkan1", "model"): 32,
        ("CPU", "model"): 73,
        ("Vulkan0", "KV"): 10.5,
        ("Vulkan1", "KV"): 10.5,
        ("CPU", "KV"): 10.5,
        ("Vulkan_Host", "output"): 0.19,
        ("Vulkan0", "compute"): 15.7,
        ("Vulkan1", "compute"): 13.26,
        ("Vulkan_Host", "compute"): 4.26,
    }


def test_weights_are_known_to_a_mebibyte_and_all_else_as_in_a_load() -> None:
    answered = parse_estimate(TWO_DEVICES_AND_HOST)

    assert isinstance(answered, Estimate)
    assert {(b.use, b.resolution_bytes) for b in answered.report.buffers} == {
        ("model", MIB),
        ("KV", LOG_STEP_BYTES),
        ("output", LOG_STEP_BYTES),
        ("compute", LOG_STEP_BYTES),
    }


def test_each_layer_has_its_device_the_output_layer_last() -> None:
    answered = parse_estimate(TWO_DEVICES_AND_HOST)

    assert isinstance(answered, Estimate)
    assert answered.layer_devices == ("CPU", "Vulkan0", "Vulkan1", "Vulkan1")
    assert answered.report.offloaded == (3, 4)


def test_repacked_weights_count_and_so_does_a_recurrent_state() -> None:
    answered = parse_estimate(HYBRID_REPACKED)

    assert sizes(answered) == {
        ("CPU", "model"): 1999,
        ("CPU_REPACK", "model"): 13062,
        ("CPU", "KV"): 512,
        ("CPU", "RS"): 149.62,
        ("CPU", "compute"): 160.02,
    }
    assert isinstance(answered, Estimate)
    assert all(buffer.on_host for buffer in answered.report.buffers)


def test_caches_of_unlike_layers_are_shared_out_by_the_table() -> None:
    unlike = TWO_DEVICES_AND_HOST.replace("14 +      10 +", "14 +      21 +").replace(
        "73 +      10 +", "73 +       0 +"
    )

    answered = parse_estimate(unlike)

    assert isinstance(answered, Estimate)
    assert [b for b in answered.report.buffers if b.use == "KV"] == [
        Buffer("Vulkan0", "KV", 21 * MIB, MIB),
        Buffer("Vulkan1", "KV", 10 * MIB + MIB // 2),
    ]


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        (
            "E llama_model_load: error loading model: unknown model architecture: 'next'\n",
            Refused("unknown model architecture: 'next'", "next"),
        ),
        (
            "E llama_model_load: error loading model: missing tensor 'blk.0.attn_q.weight'\n",
            Refused("missing tensor 'blk.0.attn_q.weight'"),
        ),
        (
            "E llama_model_load: error loading model: unable to allocate Vulkan0 buffer\n",
            NoEstimate("unable to allocate Vulkan0 buffer"),
        ),
        ("E srv init: exiting\n", NoEstimate("its log has no table of memory by device")),
        ("", NoEstimate("its log has no table of memory by device")),
    ],
    ids=["unknown architecture", "a tensor is missing", "the machine's fault", "ended", "silent"],
)
def test_a_refusal_is_told_from_an_engine_that_gave_no_answer(
    line: str, answered: Answered
) -> None:
    assert parse_estimate(line) == answered


@pytest.mark.parametrize(
    ("log", "kept"),
    [
        (TWO_DEVICES_AND_HOST + AFTER, TWO_DEVICES_AND_HOST),
        (HYBRID_REPACKED + AFTER, HYBRID_REPACKED),
        ("failed\n" + AFTER, "failed\n" + AFTER.splitlines(keepends=True)[0]),
        (
            "error loading model: no\nsecond try\n",
            "error loading model: no\n",
        ),
        ("D llama_graph_n_input_tensors: input tensor 'a' is used by 'b'\nall\n", "all\n"),
    ],
    ids=["two devices", "one device", "measuring failed", "refused", "ended by itself"],
)
def test_nothing_of_the_load_that_would_follow_is_read(log: str, kept: str) -> None:
    assert "".join(until_measured(iter(log.splitlines(keepends=True)))) == kept
