"""Tensor tables from hyper-parameters: what llama.cpp would look for in a file."""

from __future__ import annotations

from math import prod

import pytest

from localllm.catalog.profile import Profile, read_profiles
from localllm.fit.blueprint import can_be_tied, tensors_of
from localllm.fit.blueprint_dims import MissingKeys
from localllm.formats.header import Value
from localllm.paths import bundled_profiles
from tests.unit.fit.a_header import smollm2

PROFILES = {p.id: p for p in read_profiles(bundled_profiles()) if p.gguf}
COUNTED = [pytest.param(p, id=p.id) for p in PROFILES.values() if p.parameters]
WITHIN = 0.0005
"""Makers count a few vectors that files leave out, and files hold some that they do not count."""

SMALL: dict[str, Value] = {
    "block_count": 4,
    "embedding_length": 64,
    "vocab_size": 100,
    "feed_forward_length": 128,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
STATE: dict[str, Value] = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 128,
    "ssm.state_size": 16,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 2,
}


def elements(profile: Profile, *, tied: bool) -> int:
    assert profile.gguf is not None
    table = tensors_of(profile.gguf.architecture, profile.gguf.keys, tied=tied)
    assert table is not None
    return sum(prod(shape) for _, shape in table)


def table_of(architecture: str, **changes: Value) -> dict[str, tuple[int, ...]]:
    keys = {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}}
    return dict(tensors_of(architecture, keys, tied=True) or ())


@pytest.mark.parametrize("profile", COUNTED)
def test_the_elements_add_up_to_the_parameters_that_makers_publish(profile: Profile) -> None:
    counts = [elements(profile, tied=tied) for tied in (True, False)]

    assert min(abs(count / profile.parameters - 1) for count in counts) < WITHIN


def test_the_blueprint_of_smollm2_is_the_table_of_its_file() -> None:
    table = tensors_of("llama", PROFILES["smollm2-135m-instruct"].gguf.keys, tied=True)

    assert dict(table) == {tensor.name: tensor.shape for tensor in smollm2().tensors}


def test_an_untied_model_has_an_output_layer_and_a_tied_one_has_not() -> None:
    untied = dict(tensors_of("llama", SMALL, tied=False) or ())

    assert untied["output.weight"] == (64, 100)
    assert "output.weight" not in table_of("llama")


def test_some_architectures_always_have_an_output_layer_of_their_own() -> None:
    table = table_of("gpt-oss", expert_count=4, expert_feed_forward_length=32)

    assert "output.weight" in table
    assert not can_be_tied("gpt-oss")
    assert can_be_tied("llama")


def test_experts_take_the_place_of_the_dense_part() -> None:
    table = table_of("llama", expert_count=8)

    assert table["blk.0.ffn_gate_exps.weight"] == (64, 128, 8)
    assert "blk.0.ffn_gate.weight" not in table


def test_the_first_layers_of_a_mixture_may_be_dense() -> None:
    table = table_of(
        "glm4moe",
        expert_count=8,
        expert_feed_forward_length=32,
        expert_shared_count=2,
        leading_dense_block_count=1,
    )

    assert "blk.0.ffn_down.weight" in table
    assert table["blk.1.ffn_down_exps.weight"] == (32, 64, 8)
    assert table["blk.1.ffn_down_shexp.weight"] == (64, 64)


def test_one_layer_in_four_of_a_hybrid_attends() -> None:
    table = table_of("qwen35", **STATE)

    assert table["blk.3.attn_q.weight"] == (64, 2 * 64)
    assert [i for i in range(4) if f"blk.{i}.ssm_out.weight" in table] == [0, 1, 2]


def test_blocks_for_drafts_come_last_and_attend() -> None:
    table = table_of("qwen35", nextn_predict_layers=1, **STATE)

    assert table["blk.3.nextn.eh_proj.weight"] == (128, 64)
    assert "blk.2.nextn.eh_proj.weight" not in table


def test_layers_with_a_window_may_have_heads_of_another_size() -> None:
    table = table_of(
        "gemma4",
        attention__sliding_window_pattern=(1, 1, 1, 0),
        attention__key_length=32,
        attention__value_length=32,
        attention__key_length_swa=16,
        attention__value_length_swa=16,
        attention__head_count_kv=(2, 2, 2, 1),
    )

    assert table["blk.0.attn_k.weight"] == (64, 2 * 16)
    assert table["blk.3.attn_k.weight"] == (64, 32)
    assert "blk.3.attn_v.weight" not in table


def test_layers_that_use_an_earlier_ones_cache_have_no_keys() -> None:
    table = table_of(
        "gemma4",
        attention__sliding_window_pattern=(1, 0, 1, 0),
        attention__key_length=32,
        attention__shared_kv_layers=2,
        embedding_length_per_layer_input=8,
    )

    assert [i for i in range(4) if f"blk.{i}.attn_k.weight" in table] == [0, 1]
    assert table["per_layer_token_embd.weight"] == (4 * 8, 100)


def test_all_that_is_missing_is_named_at_once() -> None:
    keys = {k: v for k, v in SMALL.items() if k not in ("vocab_size", "feed_forward_length")}

    with pytest.raises(MissingKeys) as raised:
        tensors_of("qwen3", keys, tied=True)

    assert raised.value.names == ("vocab_size", "feed_forward_length")


def test_a_dimension_that_only_some_layers_need_is_missed_where_they_are() -> None:
    keys = {k: v for k, v in SMALL.items() if k != "feed_forward_length"}
    experts = {"expert_count": 4, "expert_feed_forward_length": 32}

    assert tensors_of("llama4", keys | experts | {"interleave_moe_layer_step": 1}, tied=True)
    with pytest.raises(MissingKeys, match="feed_forward_length"):
        tensors_of("llama4", keys | experts | {"interleave_moe_layer_step": 2}, tied=True)


def test_an_architecture_without_a_recipe_has_no_table() -> None:
    assert tensors_of("rwkv7", SMALL, tied=True) is None
