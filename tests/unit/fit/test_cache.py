"""What a model keeps between tokens, against what llama.cpp logged for the same dimensions.

Logged by xllamacpp 2026.10 for headers of these dimensions, without weights; Qwen3.6-27B with
four slots by LM Studio (its issue 1862).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.fit.cache import Setting, kv_cache_bytes, state_bytes, window_cells
from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.shape import Shape, shape_of
from tests.unit.fit.a_header import MIB, an_outline, smollm2, with_keys


def setting(context: int, *, parallel: int = 1, kv: str = "f16", unified: bool = True) -> Setting:
    return Setting(context, parallel, 512, kv_type=kv, unified=unified)


def kept_mib(shape: Shape, asked: Setting) -> float:
    return sum(kv_cache_bytes(shape, layer, asked) for layer in shape.layers) / MIB


def llama_8b() -> Shape:
    return shape_of(an_outline("llama", layers=32, heads=32, heads_kv=8, dim=128))


def gpt_oss_20b() -> Shape:
    keys = {"attention.sliding_window": 128}
    return shape_of(an_outline("gpt-oss", layers=24, heads=64, heads_kv=8, dim=64, **keys))


def glm_flash() -> Shape:
    keys = {"attention.key_length_mla": 256, "attention.value_length_mla": 256}
    header = an_outline("deepseek2", layers=47, heads=20, heads_kv=1, dim=576, **keys)
    return shape_of(replace(header, value_dim=512))


def gemma4_31b() -> Shape:
    pattern = tuple(int((i + 1) % 6 != 0) for i in range(60))
    keys = {
        "attention.sliding_window": 1024,
        "attention.sliding_window_pattern": pattern,
        "attention.key_length_swa": 256,
        "attention.value_length_swa": 256,
    }
    header = an_outline("gemma4", layers=60, heads=32, heads_kv=16, dim=512, **keys)
    heads_kv = tuple(16 if windowed else 4 for windowed in pattern)
    return shape_of(replace(header, heads_kv=heads_kv))


def qwen36_27b() -> Shape:
    keys = {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 6144,
        "ssm.state_size": 128,
        "ssm.group_count": 16,
    }
    return shape_of(an_outline("qwen35", layers=64, heads=24, heads_kv=4, dim=256, **keys))


@pytest.mark.parametrize(
    ("shape", "asked", "logged_mib"),
    [
        (llama_8b(), setting(32_768), 4096.00),
        (llama_8b(), setting(32_768, kv="q8_0"), 2176.00),
        (llama_8b(), setting(32_768, kv="q4_0"), 1152.00),
        (gpt_oss_20b(), setting(131_072), 3072.00 + 18.00),
        (gpt_oss_20b(), setting(131_072, parallel=4), 3072.00 + 24.00),
        (gpt_oss_20b(), setting(131_072, parallel=4, unified=False), 3072.00 + 72.00),
        (glm_flash(), setting(32_768), 1692.00),
        (gemma4_31b(), setting(32_768), 2560.00 + 1200.00),
        (qwen36_27b(), setting(262_144, parallel=4), 16_384.00),
    ],
    ids=lambda value: value.header.architecture if isinstance(value, Shape) else None,
)
def test_keys_and_values_take_what_the_engine_logs(
    shape: Shape, asked: Setting, logged_mib: float
) -> None:
    assert kept_mib(shape, asked) == logged_mib


def test_recurrent_state_is_one_per_slot_whatever_the_context() -> None:
    shape = qwen36_27b()

    sizes = [
        sum(state_bytes(layer, setting(context, parallel=4)) for layer in shape.layers)
        for context in (2048, 262_144)
    ]

    assert sizes == [598.5 * MIB, 598.5 * MIB]
    assert sum(layer.state > 0 for layer in shape.layers) == 48


def test_a_quantized_cache_counts_its_scales() -> None:
    f16, q8, q4 = (kept_mib(llama_8b(), setting(4096, kv=kv)) for kv in ("f16", "q8_0", "q4_0"))

    assert (q8 / f16, q4 / f16) == (8.5 / 16, 4.5 / 16)


@pytest.mark.parametrize(
    ("asked", "cells"),
    [
        (setting(131_072), 768),
        (setting(131_072, parallel=4), 1024),
        (setting(131_072, parallel=4, unified=False), 768),
        (setting(300), 512),
    ],
)
def test_a_window_keeps_itself_and_a_micro_batch_for_each_slot(asked: Setting, cells: int) -> None:
    assert window_cells(gpt_oss_20b(), asked) == cells


@pytest.mark.parametrize(("context", "cells"), [(1, 256), (256, 256), (257, 512), (2001, 2048)])
def test_a_context_takes_whole_steps(context: int, cells: int) -> None:
    assert setting(context).cells == cells


def test_slots_that_do_not_share_round_up_each() -> None:
    apart = setting(2001, parallel=4, unified=False)

    assert (apart.cells, apart.streams) == (512, 4)


def test_layers_that_share_a_cache_keep_none_of_their_own() -> None:
    pattern = tuple(int((i + 1) % 6 != 0) for i in range(42))
    keys = {
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": pattern,
        "attention.shared_kv_layers": 18,
    }
    shape = shape_of(an_outline("gemma4", layers=42, heads=8, heads_kv=2, dim=256, **keys))

    assert sum(layer.key > 0 for layer in shape.layers) == 24


def test_heads_for_drafts_are_not_loaded_but_counted() -> None:
    keys = {"nextn_predict_layers": 1}
    shape = shape_of(an_outline("glm4moe", layers=47, heads=96, heads_kv=8, dim=128, **keys))

    assert (len(shape.layers), shape.idle_layers, shape.blocks) == (46, 1, 48)


def test_an_encoder_keeps_nothing() -> None:
    shape = shape_of(an_outline("bert", layers=12, heads=12, heads_kv=12, dim=64))

    assert kept_mib(shape, setting(512)) == 0


def test_a_window_that_llama_cpp_does_not_use_is_none() -> None:
    keys = {"attention.sliding_window": 2047}
    phi3 = shape_of(an_outline("phi3", layers=32, heads=24, heads_kv=8, dim=128, **keys))

    assert not any(layer.windowed for layer in phi3.layers)


@pytest.mark.parametrize("key", ["wkv.head_size", "altup.num_inputs", "attention.indexer.top_k"])
def test_state_that_no_formula_covers_is_refused_by_name(key: str) -> None:
    header = with_keys(smollm2(), **{key.replace(".", "__"): 4})

    with pytest.raises(UnsupportedArchitecture) as caught:
        shape_of(header)

    assert key in caught.value.why
