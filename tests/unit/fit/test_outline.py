"""Headers of models whose files nobody has read yet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.catalog.facts import HyperParameters
from localllm.catalog.profile import Profile, read_profiles
from localllm.fit.outline import Missing, outline, rescaled
from localllm.fit.shape import shape_of
from localllm.formats.header import Format, Header
from localllm.paths import bundled_profiles
from tests.unit.fit.a_header import smollm2

PROFILES = {p.id: p for p in read_profiles(bundled_profiles()) if p.gguf}
SIZE = 5_000_000_001
SMOLLM2 = PROFILES["smollm2-135m-instruct"].gguf
assert SMOLLM2 is not None


def outlined(
    hyper: HyperParameters,
    *,
    quant: str = "Q4_K_M",
    size: int = SIZE,
    parameters: int | None = None,
    kind: Format = Format.GGUF,
) -> Header:
    header = outline(
        hyper, name="A", quant=quant, size_bytes=size, parameters=parameters, format=kind
    )
    assert isinstance(header, Header), header
    return header


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_shipped_model_has_an_outline_with_all_of_its_files_bytes(profile: Profile) -> None:
    header = outlined(profile.gguf, parameters=profile.parameters)

    assert header.weights_bytes == header.file_bytes == SIZE
    assert len(shape_of(header).layers) == profile.gguf.keys["block_count"]


def test_an_outline_says_what_the_file_would_say() -> None:
    real = smollm2()

    header = outlined(SMOLLM2, quant="Q4_1", size=real.weights_bytes)

    same = ("architecture", "layers", "embedding", "feed_forward", "heads", "heads_kv")
    same += ("key_dim", "value_dim", "vocabulary", "context_trained", "quantization")
    assert [getattr(header, n) for n in same] == [getattr(real, n) for n in same]
    assert header.metadata["llama.attention.head_count_kv"] == 3
    assert {t.name: t.shape for t in header.tensors} == {t.name: t.shape for t in real.tensors}


def test_what_quantization_leaves_alone_is_f32_and_the_rest_is_named_after_it() -> None:
    tensors = {t.name: t for t in outlined(SMOLLM2, quant="UD-Q4_K_XL").tensors}

    norm, matrix = tensors["blk.0.attn_norm.weight"], tensors["blk.0.attn_q.weight"]
    assert (norm.type, norm.size_bytes) == ("f32", 4 * 576)
    assert matrix.type == "q4_k"
    assert matrix.size_bytes == pytest.approx(3 * tensors["blk.0.attn_k.weight"].size_bytes, abs=9)


def test_the_parameters_tell_whether_there_is_an_output_layer_of_its_own() -> None:
    tied, untied = (outlined(SMOLLM2, parameters=n) for n in (134_515_008, 162_826_560))

    assert (shape_of(tied).tied, shape_of(untied).tied) == (True, False)


def test_without_a_count_of_parameters_the_output_layer_is_the_token_table_where_it_can_be() -> (
    None
):
    gpt_oss = PROFILES["gpt-oss-20b"].gguf

    assert shape_of(outlined(SMOLLM2)).tied
    assert not shape_of(outlined(gpt_oss)).tied


def test_a_model_without_a_recipe_is_outlined_coarsely_with_its_experts_apart() -> None:
    moe = PROFILES["qwen3-coder-30b-a3b"].gguf

    shape = shape_of(outlined(HyperParameters("ernie4_5-moe", moe.keys)))

    assert sum(t.size_bytes for t in shape.header.tensors) == SIZE
    assert all(layer.tensors and layer.experts for layer in shape.layers)
    assert sum(layer.experts_bytes for layer in shape.layers) > 0.9 * SIZE


def test_what_is_not_known_is_named() -> None:
    keys = {k: v for k, v in SMOLLM2.keys.items() if k != "vocab_size"}
    without = HyperParameters("llama", keys)
    unsure = HyperParameters("llama", SMOLLM2.keys, unknown=("attention.sliding_window",))

    given = {"name": None, "quant": None, "size_bytes": SIZE}
    assert outline(without, **given) == Missing(("vocab_size",))
    assert outline(unsure, **given) == Missing(("attention.sliding_window",))


def test_a_width_that_a_model_of_experts_does_not_have_is_not_missed() -> None:
    scout = PROFILES["llama-4-scout"].gguf

    header = outline(scout, name=None, quant=None, size_bytes=SIZE)

    assert isinstance(header, Header)


def test_an_mlx_model_keeps_its_norms_in_sixteen_bits() -> None:
    header = outlined(SMOLLM2, quant="4bit", kind=Format.MLX)

    assert header.format is Format.MLX
    assert {(t.type, t.size_bytes) for t in header.tensors if "norm" in t.name} == {("bf16", 1152)}
    assert header.weights_bytes == SIZE


def test_another_quantization_of_a_header_has_other_matrices_and_the_same_norms() -> None:
    real = smollm2()

    other = rescaled(real, quant="Q8_0", size_bytes=2 * real.file_bytes)

    before, after = ({t.name: t for t in h.tensors} for h in (real, other))
    assert after["output_norm.weight"] == before["output_norm.weight"]
    assert after["blk.0.attn_q.weight"].type == "q8_0"
    assert after["blk.0.attn_q.weight"].size_bytes > before["blk.0.attn_q.weight"].size_bytes
    assert (other.weights_bytes, other.quantization) == (2 * real.file_bytes, "Q8_0")
    assert replace(other, tensors=(), file_bytes=0, quantization=None) == replace(
        real, tensors=(), file_bytes=0, quantization=None
    )


def test_a_size_smaller_than_the_norms_is_shared_out_all_the_same() -> None:
    assert outlined(SMOLLM2, size=1000).weights_bytes == 1000
