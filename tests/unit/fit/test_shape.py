"""What a header implies, layer by layer: which tensors are where, experts, windows, state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.keys import Keys
from localllm.fit.shape import Experts, Shape, shape_of
from localllm.formats.header import Header
from tests.unit.fit.a_header import a_tensor, an_outline, llama_8b, smollm2, with_keys
from tests.unit.fit.test_compute import RECORDED, a_shape


def names(tensors: tuple[object, ...]) -> list[str]:
    return [getattr(tensor, "name") for tensor in tensors]  # noqa: B009


@pytest.mark.parametrize("name", sorted(RECORDED["models"]))
def test_every_tensor_has_one_place_but_for_a_token_table_that_is_the_output_too(
    name: str,
) -> None:
    shape = a_shape(name)

    placed = [t.name for layer in shape.layers for t in (*layer.tensors, *layer.experts)]
    placed += names((*shape.input_tables, *shape.entry, *shape.copied, *shape.output_tensors))
    twice = ["token_embd.weight"] if shape.tied else []
    assert sorted(placed) == sorted(names(shape.header.tensors) + twice)


def test_without_an_output_layer_of_its_own_the_token_table_is_it() -> None:
    tied, untied = shape_of(smollm2()), shape_of(llama_8b())

    assert names(tied.output_tensors) == ["output_norm.weight", "token_embd.weight"]
    assert names(untied.output_tensors) == ["output_norm.weight", "output.weight"]
    assert (tied.tied, untied.tied) == (True, False)


def test_an_encoder_has_no_output_layer() -> None:
    shape = a_shape("bert-base")

    assert (shape.encoder, shape.embeds, shape.tied) == (True, True, False)
    assert "position_embd.weight" in names(shape.input_tables)


def test_factors_of_rope_are_copied_to_every_device() -> None:
    header = smollm2()
    factors = a_tensor("rope_freqs.weight", 32, stored="f32")

    shape = shape_of(replace(header, tensors=(*header.tensors, factors)))

    assert shape.copied == (factors,)


def test_experts_are_told_from_what_every_token_uses() -> None:
    shape = a_shape("qwen3-30b-a3b")

    assert shape.experts == Experts(count=128, used=8, width=768, shared_width=0)
    assert all("_exps." in name for name in names(shape.layers[0].experts))
    assert "blk.0.ffn_gate_inp.weight" in names(shape.layers[0].tensors)
    weights = sum(t.size_bytes for t in shape.layers[0].tensors)
    assert shape.layers[0].weights_bytes == weights + shape.layers[0].experts_bytes


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, None),
        ({"expert_count": 64}, None),
        (
            {"expert_count": 64, "expert_used_count": 6, "expert_feed_forward_length": 1408},
            Experts(64, 6, 1408, 0),
        ),
        (
            {"expert_count": 8, "expert_used_count": 2, "feed_forward_length": 14_336},
            Experts(8, 2, 14_336, 0),
        ),
        (
            {
                "expert_count": 64,
                "expert_used_count": 6,
                "expert_feed_forward_length": 1408,
                "expert_shared_count": 2,
            },
            Experts(64, 6, 1408, 2816),
        ),
    ],
    ids=["none", "unused", "own width", "the dense part's width", "shared ones"],
)
def test_experts_come_from_the_headers_keys(keys: dict[str, int], expected: Experts | None) -> None:
    header = an_outline("llama", layers=2, heads=8, heads_kv=2, dim=64, **keys)

    assert shape_of(header).experts == expected


def test_a_dense_parts_width_is_its_tensors_before_the_keys() -> None:
    header = with_keys(smollm2(), feed_forward_length=9)
    outline = replace(header, tensors=())

    assert shape_of(header).layers[0].feed_forward == 1536
    assert shape_of(outline).layers[0].feed_forward == 9


def test_blocks_of_drafts_are_not_among_the_layers_nor_are_their_tensors() -> None:
    header = with_keys(smollm2(), nextn_predict_layers=1)

    shape = shape_of(header)

    assert (len(shape.layers), shape.idle_layers, shape.blocks) == (29, 1, 31)
    tensors = [name for layer in shape.layers for name in names(layer.tensors)]
    assert not any(name.startswith("blk.29.") for name in tensors)


def windowed(header: Header) -> list[bool]:
    return [layer.windowed for layer in shape_of(header).layers]


@pytest.mark.parametrize(
    ("architecture", "keys", "expected"),
    [
        ("gemma3", {"attention.sliding_window": 512}, [True] * 5 + [False, True, True]),
        ("gemma2", {}, [True, False] * 4),
        ("gpt-oss", {"attention.sliding_window": 128}, [True, False] * 4),
        ("cohere2moe", {"attention.sliding_window": 128}, [False, True, True, True] * 2),
        ("llama4", {}, [True, True, True, False] * 2),
        ("llama4", {"attention.sliding_window": 0}, [False] * 8),
        ("gemma3", {}, [False] * 8),
        ("qwen3", {"attention.sliding_window": 4096}, [False] * 8),
        ("step35", {"attention.sliding_window": 512}, [False] * 8),
        (
            "gemma3",
            {"attention.sliding_window": 512, "attention.sliding_window_pattern": 2},
            [True, False] * 4,
        ),
        (
            "gemma4",
            {"attention.sliding_window": 512, "attention.sliding_window_pattern": (0, 1, 1)},
            [False, True, True] + [False] * 5,
        ),
    ],
)
def test_which_layers_see_a_window_only(
    architecture: str, keys: dict[str, int | tuple[int, ...]], expected: list[bool]
) -> None:
    header = an_outline(architecture, layers=8, heads=8, heads_kv=2, dim=64, **keys)

    assert windowed(header) == expected


def recurrent(shape: Shape) -> list[bool]:
    return [layer.state > 0 for layer in shape.layers]


MAMBA = {"ssm.conv_kernel": 4, "ssm.inner_size": 128, "ssm.state_size": 16}


@pytest.mark.parametrize(
    ("architecture", "keys", "heads_kv", "expected"),
    [
        ("llama", MAMBA, (2, 2, 2, 2), [False] * 4),
        ("mamba2", MAMBA, (0, 0, 0, 0), [True] * 4),
        ("falcon-h1", MAMBA, (2, 2, 2, 2), [True] * 4),
        ("jamba", MAMBA, (0, 2, 0, 2), [True, False, True, False]),
        ("lfm2", {"shortconv.l_cache": 3}, (0, 0, 2, 0), [True, True, False, True]),
        ("qwen35", MAMBA, (2, 2, 2, 2), [True, True, True, False]),
        ("qwen35", {**MAMBA, "full_attention_interval": 2}, (2,) * 4, [True, False] * 2),
        (
            "qwen35",
            {**MAMBA, "attention.recurrent_layers": (1, 0, 0, 1)},
            (2,) * 4,
            [True, False, False, True],
        ),
        (
            "nemotron_h",
            {**MAMBA, "feed_forward_length": (0, 512, 0, 0)},
            (0, 0, 2, 0),
            [True, False, False, True],
        ),
    ],
)
def test_which_layers_keep_a_state(
    architecture: str,
    keys: dict[str, int | tuple[int, ...]],
    heads_kv: tuple[int, ...],
    expected: list[bool],
) -> None:
    header = an_outline(architecture, layers=4, heads=8, heads_kv=2, dim=64, **keys)

    shape = shape_of(replace(header, heads_kv=heads_kv))

    assert recurrent(shape) == expected
    both = architecture == "falcon-h1"
    for layer, heads in zip(shape.layers, heads_kv, strict=True):
        assert (layer.key > 0) == (heads > 0 and (both or not layer.state))


def test_layers_with_a_window_may_have_other_heads() -> None:
    keys = {"attention.sliding_window": 512, "attention.sliding_window_pattern": 2}
    keys |= {"attention.key_length_swa": 32, "attention.value_length_swa": 16}
    shape = shape_of(an_outline("gemma3", layers=2, heads=8, heads_kv=2, dim=64, **keys))

    assert [(layer.key, layer.value) for layer in shape.layers] == [(64, 32), (128, 128)]


def test_a_model_that_reads_backwards_too_is_refused_unless_it_is_a_known_encoder() -> None:
    with pytest.raises(UnsupportedArchitecture, match="llama"):
        shape_of(with_keys(smollm2(), attention__causal=False))

    bert = an_outline("bert", layers=2, heads=2, heads_kv=2, dim=64, **{"attention.causal": False})
    assert shape_of(bert).encoder


def test_a_model_without_heads_is_refused_unless_it_needs_none() -> None:
    header = replace(smollm2(), heads_kv=(0,) * 30)

    with pytest.raises(UnsupportedArchitecture) as caught:
        shape_of(header)

    assert "attention.head_count" in caught.value.why


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, 7), (7.9, 7), ((1, 9, 3), 9), ("seven", 0), (float("inf"), 0), (float("nan"), 0)],
)
def test_a_key_that_is_no_number_counts_as_none(value: object, expected: int) -> None:
    keys = Keys(replace(smollm2(), metadata={"llama.x": value}))

    assert (keys.number("x"), keys.number("y")) == (expected, 0)


def test_a_list_that_is_too_short_has_zeros_behind_it() -> None:
    keys = Keys(replace(smollm2(), metadata={"llama.x": (5, 6)}))

    assert [keys.at("x", layer) for layer in range(3)] == [5, 6, 0]
