"""Which device has which layers: as llama.cpp's own load log says it, for SmolLM2's 30 layers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.fit.placing import Share, arrange, on_host
from localllm.fit.shape import shape_of
from tests.unit.fit.a_header import an_outline, smollm2

SMOL = shape_of(smollm2())
WITH_DRAFT_HEADS = shape_of(
    an_outline("glm4moe", layers=47, heads=96, heads_kv=8, dim=128, nextn_predict_layers=1)
)
"""46 layers, an idle block and the output layer."""


def test_without_a_device_all_is_on_the_host() -> None:
    arrangement = on_host(SMOL)

    assert arrangement.host == Share(0, 30, output=True, count=31)
    assert (arrangement.devices, arrangement.whole) == ((), False)


def test_one_device_has_every_layer_and_the_output() -> None:
    arrangement = arrange(SMOL, [1])

    assert arrangement.devices == (Share(0, 30, output=True, count=31),)
    assert arrangement.host.is_empty
    assert (arrangement.whole, arrangement.layers_on_devices) == (True, 31)


def test_two_to_one_is_twenty_one_layers_and_nine_with_the_output() -> None:
    """`-ts 2,1`: 31.50 and 13.50 MiB of cache, of 1.5 MiB a layer."""
    first, second = arrange(SMOL, [2, 1]).devices

    assert first == Share(0, 21, output=False, count=21)
    assert second == Share(21, 30, output=True, count=10)


def test_ten_layers_on_the_device_are_the_last_nine_and_the_output() -> None:
    """`-ngl 10`: 'offloaded 10/31', 31.50 MiB of cache on the processor, 13.50 on the device."""
    arrangement = arrange(SMOL, [1], on_devices=10)

    assert arrangement.host == Share(0, 21, output=False, count=21)
    assert arrangement.devices == (Share(21, 30, output=True, count=10),)
    assert not arrangement.whole


def test_one_layer_on_the_device_is_the_output_alone() -> None:
    arrangement = arrange(SMOL, [1], on_devices=1)

    assert arrangement.devices == (Share(30, 30, output=True, count=1),)
    assert (arrangement.host.layers, arrangement.host.output) == (range(30), False)


def test_more_layers_than_there_are_is_all_of_them() -> None:
    assert arrange(SMOL, [1], on_devices=99) == arrange(SMOL, [1])


def test_idle_blocks_count_where_layers_are_placed_and_are_loaded_nowhere() -> None:
    first, second = arrange(WITH_DRAFT_HEADS, [1, 1]).devices

    assert (first.count, second.count) == (24, 24)
    assert (len(first.layers), len(second.layers), second.output) == (24, 22, True)


def test_experts_of_the_first_layers_are_aside() -> None:
    arrangement = arrange(SMOL, [1], experts_on_host=2)

    assert [arrangement.keeps_experts(i) for i in range(4)] == [False, False, True, True]
    assert not arrangement.whole


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any),
    st.none() | st.integers(1, 60),
    st.sampled_from([SMOL, WITH_DRAFT_HEADS]),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_every_layer_is_in_exactly_one_place_and_so_is_the_output(
    split: list[int], on_devices: int | None, shape: object
) -> None:
    assert isinstance(shape, type(SMOL))
    arrangement = arrange(shape, split, on_devices=on_devices)

    shares = (arrangement.host, *arrangement.devices)
    assert [i for share in shares for i in share.layers] == list(range(len(shape.layers)))
    assert sum(share.output for share in shares) == 1
    assert sum(share.count for share in shares) == shape.blocks
    assert all(one.last == other.first for one, other in pairwise(s for s in shares if s.layers))
