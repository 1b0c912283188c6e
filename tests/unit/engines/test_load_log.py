"""What the engine's own log says of a load, and whether it is what was planned."""

from __future__ import annotations

import pytest

from localllm.engines.base import Serving
from localllm.engines.load_log import Buffer, LoadReport, misplaced, parse_load_log
from tests.unit.engines.a_serving import CUDA, METAL, VULKAN, on_device, on_processor

MIB = 1 << 20

PROCESSOR_BUILD = """\
0.00.186.120 I llama_model_loader: - type  f32:   61 tensors
0.00.287.791 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.291.115 I llama_context:        CPU  output buffer size =     0.75 MiB
0.00.291.226 I llama_kv_cache:        CPU KV buffer size =   180.00 MiB
0.00.436.911 I llama_kv_cache: size =  180.00 MiB (  8192 cells,  30 layers,  4/1 seqs)
0.00.437.069 I sched_reserve:        CPU compute buffer size =    16.64 MiB
"""
"""xllamacpp 2026.10.11549, SmolLM2-135M Q4_1, 8192 tokens, 4 slots."""

ON_VULKAN = """\
0.01.081.799 I load_tensors: offloaded 31/31 layers to GPU
0.01.081.809 I load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
0.01.081.810 I load_tensors:      Vulkan0 model buffer size =    92.10 MiB
0.01.967.218 I llama_context: Vulkan_Host  output buffer size =     0.19 MiB
0.01.967.384 I llama_kv_cache:    Vulkan0 KV buffer size =    45.00 MiB
0.02.235.632 I sched_reserve:    Vulkan0 compute buffer size =    13.26 MiB
0.02.235.657 I sched_reserve: Vulkan_Host compute buffer size =     4.26 MiB
0.29.991.554 I common_memory_breakdown_print: |   - Vulkan0 (llvmpipe (LLVM 15.0.6, 256 bits)) |  2048 = 2048 + ( 150 =    92 +      45 +      13) +        -150 |
"""
"""llama-server 10434 on Mesa's software device, 2048 tokens, 1 slot."""

ON_METAL = """\
load_tensors: offloaded 31/31 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
load_tensors:  MTL0_Mapped model buffer size =    92.10 MiB
llama_kv_cache: MTL0_Private KV buffer size =    45.00 MiB
sched_reserve:       MTL0 compute buffer size =    13.26 MiB
"""
"""Metal's names of buffers, as llama.cpp prints them since December 2025."""

FELL_BACK = ON_VULKAN.replace("offloaded 31/31", "offloaded 0/31").replace("Vulkan0", "CPU")
HALF = ON_VULKAN.replace("offloaded 31/31", "offloaded 15/31")
SAID_BUT_NOT_DONE = ON_VULKAN.replace("Vulkan0 model", "CPU model")
OTHER_DEVICE = ON_VULKAN.replace("Vulkan0", "Vulkan1")
WITH_AMX = PROCESSOR_BUILD + "load_tensors:          AMX model buffer size =    60.00 MiB\n"


def bytes_for(use: str, report: LoadReport) -> int:
    return sum(buffer.size_bytes for buffer in report.buffers if buffer.use == use)


def test_a_load_on_the_processor_is_read_buffer_by_buffer() -> None:
    report = parse_load_log(PROCESSOR_BUILD)

    assert [(b.device, b.use, b.size_bytes / MIB) for b in report.buffers] == [
        ("CPU_Mapped", "model", pytest.approx(92.10)),
        ("CPU", "output", 0.75),
        ("CPU", "KV", 180.0),
        ("CPU", "compute", pytest.approx(16.64)),
    ]
    assert all(b.on_host for b in report.buffers)
    assert bytes_for("KV", report) == 180 * MIB
    assert report.total_bytes == sum(b.size_bytes for b in report.buffers)
    assert (report.offloaded, report.layers_on_device()) == (None, 0)


def test_a_load_on_a_device_tells_its_buffers_from_the_hosts() -> None:
    report = parse_load_log(ON_VULKAN)

    assert report.offloaded == (31, 31)
    on_device = [(b.device, b.use) for b in report.buffers if not b.on_host]
    assert on_device == [("Vulkan0", "model"), ("Vulkan0", "KV"), ("Vulkan0", "compute")]
    assert bytes_for("model", report) == pytest.approx((28.69 + 92.10) * MIB, abs=2)


def test_the_state_of_a_recurrent_model_is_a_use_of_its_own() -> None:
    report = parse_load_log("llama_memory_recurrent:      CUDA0 RS buffer size =    62.50 MiB\n")

    assert report.buffers == (Buffer("CUDA0", "RS", 62 * MIB + MIB // 2),)


def test_the_state_of_deepseek_v4s_compressors_counts_as_recurrent() -> None:
    report = parse_load_log("state:      CUDA0 DSV4 CSA state buffer size =     2.00 MiB\n")

    assert report.buffers == (Buffer("CUDA0", "RS", 2 * MIB),)


def test_a_size_is_known_to_the_last_digit_of_the_log() -> None:
    (buffer,) = parse_load_log("CPU KV buffer size =    45.00 MiB\n").buffers

    assert buffer.resolution_bytes == MIB // 100


@pytest.mark.parametrize("text", ["", "error: unable to load model\n", "\0\N{BLACK SQUARE}" * 9])
def test_a_log_that_says_nothing_is_an_empty_report(text: str) -> None:
    assert parse_load_log(text) == LoadReport()


@pytest.mark.parametrize(
    ("serving", "log"),
    [
        (on_processor(), PROCESSOR_BUILD),
        (on_processor(), WITH_AMX),
        (on_device(VULKAN), ON_VULKAN),
        (on_device(METAL), ON_METAL),
        (on_device(CUDA), ON_VULKAN.replace("Vulkan0", "CUDA0").replace("Vulkan_", "CUDA_")),
    ],
    ids=["processor", "processor with AMX", "vulkan", "metal", "cuda"],
)
def test_a_load_that_is_where_it_was_planned_is_accepted(serving: Serving, log: str) -> None:
    assert misplaced(parse_load_log(log), serving) is None


PLANNED = "31 of 31 layers were to be on Vulkan0, the engine put"


@pytest.mark.parametrize(
    ("serving", "log", "said"),
    [
        (on_device(VULKAN), FELL_BACK, f"{PLANNED} 0 there"),
        (on_device(VULKAN), PROCESSOR_BUILD, f"{PLANNED} 0 there"),
        (on_device(VULKAN), HALF, f"{PLANNED} 15 there"),
        (
            on_device(VULKAN),
            SAID_BUT_NOT_DONE,
            "the weights were to be on Vulkan0, the engine put them on the processor",
        ),
        (
            on_device(VULKAN),
            OTHER_DEVICE,
            "the weights were to be on Vulkan0, the engine put them on Vulkan1",
        ),
        (
            on_device(VULKAN),
            ON_VULKAN + OTHER_DEVICE,
            "the weights were to be on Vulkan0, the engine put them on Vulkan0, Vulkan1",
        ),
        (
            on_processor(),
            ON_VULKAN,
            "0 of 31 layers were to be on the processor, the engine put 31 there",
        ),
        (
            on_device(VULKAN),
            "",
            "the engine's log shows no buffers, so where the model is cannot be told",
        ),
    ],
    ids=[
        "fell back in silence",
        "a build without devices",
        "half the layers",
        "said but not done",
        "another device",
        "one device more",
        "on a device against the plan",
        "no log, planned on a device",
    ],
)
def test_a_load_that_is_elsewhere_says_what_was_asked_and_what_was_got(
    serving: Serving, log: str, said: str
) -> None:
    assert misplaced(parse_load_log(log), serving) == said


def test_on_the_processor_nothing_has_to_be_proved_by_a_log_that_a_full_disk_did_not_take() -> None:
    assert misplaced(parse_load_log(""), on_processor()) is None
