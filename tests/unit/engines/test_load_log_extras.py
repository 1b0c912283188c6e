"""What a load log says of a draft and of adapters: real lines of llama.cpp, shortened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from localllm.engines.base import Drafting, Serving
from localllm.engines.load_log import misplaced, parse_load_log
from tests.unit.engines.a_serving import VULKAN, on_device, on_processor

MIB = 1 << 20

ON_VULKAN = """\
0.00.418.721 I load_tensors: offloaded 31/31 layers to GPU
0.00.418.749 I load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
0.00.418.766 I load_tensors:      Vulkan0 model buffer size =    92.10 MiB
0.00.828.569 I llama_context: Vulkan_Host  output buffer size =     0.38 MiB
0.00.828.781 I llama_kv_cache:    Vulkan0 KV buffer size =    45.00 MiB
0.01.170.996 I sched_reserve:    Vulkan0 compute buffer size =    13.26 MiB
0.01.176.416 I sched_reserve: Vulkan_Host compute buffer size =     4.26 MiB
"""
DRAFT_ON_VULKAN = "I common_speculative_init_result: loading draft model 'd.gguf'\n" + ON_VULKAN
"""llama-server 10434: SmolLM2 with itself as its draft, 2048 tokens, 2 slots."""

WITH_ADAPTER = """\
0.00.604.963 I load_tensors: offloaded 31/31 layers to GPU
0.00.604.974 I load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
0.00.604.976 I load_tensors:      Vulkan0 model buffer size =    92.10 MiB
0.00.799.206 I llama_adapter_lora_init_impl:    Vulkan0 LoRA buffer size =    37.27 MiB
0.00.878.327 I llama_context: Vulkan_Host  output buffer size =     0.38 MiB
0.00.878.482 I llama_kv_cache:    Vulkan0 KV buffer size =    45.00 MiB
0.01.318.728 I sched_reserve:    Vulkan0 compute buffer size =    13.26 MiB
0.01.318.738 I sched_reserve: Vulkan_Host compute buffer size =     4.26 MiB
0.01.400.386 I sched_reserve:    Vulkan0 compute buffer size =    16.51 MiB
0.01.400.425 I sched_reserve: Vulkan_Host compute buffer size =     4.26 MiB
"""
"""The same without a draft, with an adapter of rank 64: it is laid out a second time."""

OWN_HEADS = """\
0.00.170.392 I load_tensors:          CPU model buffer size =     4.63 MiB
0.00.170.418 I load_tensors:   CPU_REPACK model buffer size =    24.32 MiB
0.00.529.230 I llama_context:        CPU  output buffer size =     0.12 MiB
0.00.529.330 I llama_kv_cache:        CPU KV buffer size =     2.00 MiB
0.00.561.414 I llama_memory_recurrent:        CPU RS buffer size =    25.12 MiB
0.00.573.813 I sched_reserve:        CPU compute buffer size =    19.07 MiB
0.01.337.641 I common_speculative_init_result: creating MTP draft context against the target model
0.01.338.380 I llama_context:        CPU  output buffer size =     0.12 MiB
0.01.338.566 I llama_kv_cache:        CPU KV buffer size =     1.00 MiB
0.01.347.637 I sched_reserve:        CPU compute buffer size =    12.02 MiB
0.01.357.087 I sched_reserve:        CPU compute buffer size =    12.02 MiB
"""
"""xllamacpp 2026.10.11549, a small delta net whose last block guesses ahead."""

REFUSED = """\
0.06.725.344 E spec common_specu: the target and draft vocabs are not compatible
0.06.725.488 E srv    load_model: failed to initialize speculative decoding context: draft model vocab type must match target model to use speculation
"""
UNSUPPORTED = "W srv  load_model: speculative decoding not supported by this context\n"
DRAFTED = on_device(VULKAN, drafting=Drafting(3, Path("/models/d.gguf"), "f16", layers=31))


@pytest.mark.parametrize(
    ("log", "mib"),
    [
        (ON_VULKAN, 183.69),
        (ON_VULKAN + DRAFT_ON_VULKAN, 2 * 183.69),
        (WITH_ADAPTER, 28.69 + 92.10 + 37.27 + 0.38 + 45 + 16.51 + 4.26),
        (OWN_HEADS, 4.63 + 24.32 + 2 * 0.12 + 2 + 25.12 + 19.07 + 1 + 12.02),
    ],
    ids=["alone", "with a draft", "with an adapter", "with heads of its own"],
)
def test_all_contexts_are_added_up_and_of_each_the_last_layout_counts(log: str, mib: float) -> None:
    assert parse_load_log(log).total_bytes == pytest.approx(mib * MIB, abs=16)


def test_the_first_line_of_layers_is_the_models_and_the_second_its_drafts() -> None:
    half = DRAFT_ON_VULKAN.replace("31/31", "15/31")

    report = parse_load_log(ON_VULKAN + half)

    assert (report.offloaded, report.draft_offloaded) == ((31, 31), (15, 31))
    assert parse_load_log(ON_VULKAN).draft_offloaded is None


@pytest.mark.parametrize(
    ("serving", "log"),
    [
        (DRAFTED, ON_VULKAN + DRAFT_ON_VULKAN),
        (on_device(VULKAN, drafting=Drafting(3, None, "f16")), ON_VULKAN),
        (on_processor(drafting=Drafting(3, Path("/models/d.gguf"), "f16")), OWN_HEADS),
        (on_processor(), OWN_HEADS + UNSUPPORTED),
    ],
    ids=["beside it", "its own heads", "on the processor", "no draft, none supported"],
)
def test_a_draft_that_is_where_it_was_planned_is_accepted(serving: Serving, log: str) -> None:
    assert misplaced(parse_load_log(log), serving) is None


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (ON_VULKAN, "31 of the draft's layers were to be on a device, 0 are there"),
        (
            ON_VULKAN + DRAFT_ON_VULKAN.replace("31/31", "7/31"),
            "31 of the draft's layers were to be on a device, 7 are there",
        ),
        (
            ON_VULKAN + DRAFT_ON_VULKAN + REFUSED,
            "the engine goes without the draft: draft model vocab type must match target model "
            "to use speculation",
        ),
        (
            ON_VULKAN + DRAFT_ON_VULKAN + UNSUPPORTED,
            "the engine goes without the draft: speculative decoding not supported by this context",
        ),
    ],
)
def test_an_engine_that_goes_without_the_draft_in_silence_is_found_out(log: str, said: str) -> None:
    assert misplaced(parse_load_log(log), DRAFTED) == said


def test_a_draft_on_the_device_against_the_plan_is_found_out() -> None:
    assert DRAFTED.drafting is not None
    on_host = replace(DRAFTED, drafting=replace(DRAFTED.drafting, layers=0))

    assert misplaced(parse_load_log(ON_VULKAN + DRAFT_ON_VULKAN), on_host) == (
        "0 of the draft's layers were to be on a device, 31 are there"
    )
