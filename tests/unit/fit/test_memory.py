"""Weights, cache and buffers of one model in one setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.memory import (
    Setting,
    check_architecture,
    memory_alone,
    memory_beside,
    memory_on_device,
    read_per_token_bytes,
)
from localllm.fit.plan import Memory
from localllm.formats.header import Header
from tests.unit.fit.a_header import MIB, a_tensor, llama_8b, smollm2, with_keys

TABLE_BYTES = 30_081_024
KV_TOKEN_BYTES = 23_040
SHORT = Setting(context=2048, parallel=1, micro_batch=512)
OLDER = replace(SHORT, mixed_batches=False)


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
    memory = memory_alone(smollm2(), Setting(context, parallel, 512))

    assert (memory.weights, round(memory.weights / MIB, 2)) == (96_576_768, 92.10)
    assert memory.kv_cache == context * KV_TOKEN_BYTES
    assert [round(b / MIB, 2) for b in (memory.kv_cache, memory.output, memory.compute)] == [
        pytest.approx(kv),
        pytest.approx(output),
        pytest.approx(compute),
    ]


@pytest.mark.parametrize(("parallel", "tokens"), [(1, 512), (4, 512), (7, 518)])
def test_a_micro_batch_is_made_divisible_among_the_slots(parallel: int, tokens: int) -> None:
    one, several = (
        memory_alone(smollm2(), replace(SHORT, parallel=slots, micro_batch=size)).compute
        for slots, size in ((1, tokens), (parallel, 512))
    )

    assert several - one == pytest.approx(0, abs=32 * parallel)


@pytest.mark.parametrize(("asked", "cells"), [(1, 256), (256, 256), (257, 512), (2001, 2048)])
def test_a_context_takes_whole_steps_of_256(asked: int, cells: int) -> None:
    memory = memory_alone(smollm2(), replace(SHORT, context=asked))

    assert memory.kv_cache == cells * KV_TOKEN_BYTES


@pytest.mark.parametrize(
    ("context", "host_mib", "device_mib"),
    [(2048, 28.69 + 4.26 + 0.19, 92.10 + 45.00 + 13.26), (8192, 39.14, 92.10 + 180.00 + 19.26)],
)
def test_offloaded_smollm2_is_a_little_above_what_llama_server_logs(
    context: int, host_mib: float, device_mib: float
) -> None:
    setting = replace(OLDER, context=context)

    host = memory_beside(smollm2(), setting).total / MIB
    device = memory_on_device(smollm2(), setting).total / MIB

    assert host_mib - 0.01 < host < 1.001 * host_mib
    assert device_mib < device < 1.01 * device_mib
    assert host + device < 1.01 * (host_mib + device_mib)


def test_a_newer_engine_stages_more_on_the_host() -> None:
    more = memory_beside(smollm2(), SHORT).total - memory_beside(smollm2(), OLDER).total

    assert more == 512 * (3 * 576 * 4 + 12)


def test_a_token_table_that_is_the_output_too_is_on_the_host_and_on_the_device() -> None:
    header = smollm2()

    assert memory_beside(header, SHORT).weights == TABLE_BYTES
    assert memory_on_device(header, SHORT).weights >= header.weights_bytes


def test_a_token_table_of_its_own_is_on_the_host_only() -> None:
    header, table = llama_8b(), 4096 * 128_256 * 34 // 32

    assert memory_beside(header, SHORT).weights == table
    assert memory_on_device(header, SHORT).weights == header.weights_bytes - table


@pytest.mark.parametrize(
    ("heads_kv", "expected"),
    [((4,) * 30, 120), ((1,) * 30, 30), ((8, 1) * 15, 135), ((0, 2) * 15, 30)],
)
def test_every_layer_counts_with_its_own_heads(heads_kv: tuple[int, ...], expected: int) -> None:
    memory = memory_alone(replace(smollm2(), heads_kv=heads_kv), SHORT)

    assert memory.kv_cache == 2048 * expected * (64 + 64) * 2


def test_a_sliding_window_is_counted_as_a_full_cache() -> None:
    windowed = with_keys(smollm2(), attention__sliding_window=512)

    plain, more = memory_alone(smollm2(), SHORT), memory_alone(windowed, SHORT)

    assert more.kv_cache == plain.kv_cache
    assert more.compute >= plain.compute + 512 * 2048 * 2


def test_an_architecture_never_measured_gets_a_margin() -> None:
    known, unknown = (
        memory_alone(replace(smollm2(), architecture=name), SHORT).compute
        for name in ("llama", "a-new-one")
    )

    assert 1.2 * known < unknown < 1.3 * known


def with_experts(header: Header, used: int) -> Header:
    expert = a_tensor("blk.0.ffn_up_exps.weight", 576, 256, 16)
    keyed = with_keys(
        header, expert_count=16, expert_used_count=used, expert_feed_forward_length=256
    )
    return replace(keyed, tensors=(*keyed.tensors, expert))


def test_more_experts_at_a_time_compute_more_and_read_more() -> None:
    few, many = with_experts(smollm2(), 4), with_experts(smollm2(), 8)

    assert memory_alone(few, SHORT).compute < memory_alone(many, SHORT).compute
    assert memory_alone(few, SHORT).weights == memory_alone(many, SHORT).weights
    assert read_per_token_bytes(many) - read_per_token_bytes(few) == 576 * 256 * 4 * 20 // 32


def test_a_feed_forward_width_that_varies_counts_where_it_is_widest() -> None:
    wide = a_tensor("blk.0.ffn_down.weight", 6144, 576)
    header = replace(smollm2(), feed_forward=None)

    widened = replace(header, tensors=(*header.tensors, wide))

    assert memory_alone(header, SHORT) == memory_alone(smollm2(), SHORT)
    assert memory_alone(widened, SHORT).compute > 512 * 4 * 3 * 6144


@pytest.mark.parametrize(
    "keys",
    [
        {"ssm__state_size": 128},
        {"attention__kv_lora_rank": 512},
        {"attention__shared_kv_layers": 20},
        {"shortconv__l_cache": 3},
        {"wkv__head_size": 64},
        {"attention__causal": False},
        {"pooling_type": 1},
        {"full_attention_interval": 4},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_models_with_another_memory_are_refused_by_name(keys: dict[str, int]) -> None:
    with pytest.raises(UnsupportedArchitecture, match="llama") as caught:
        check_architecture(with_keys(smollm2(), **keys))

    assert (caught.value.exit_code, caught.value.http_status) == (3, 422)


def test_a_model_without_attention_is_refused() -> None:
    with pytest.raises(UnsupportedArchitecture, match="mamba"):
        check_architecture(replace(smollm2(), architecture="mamba", heads=0, heads_kv=(0,) * 30))


@pytest.mark.parametrize(
    "keys",
    [{}, {"attention__shared_kv_layers": 0}, {"pooling_type": 0}, {"attention__causal": True}],
)
def test_plain_models_are_not_refused(keys: dict[str, int]) -> None:
    check_architecture(with_keys(smollm2(), **keys))


def test_a_total_is_all_of_it() -> None:
    assert Memory(1, 2, 4, 8, 16, 32, 64).total == 127
