"""How much context mlx-lm has room for on a Mac."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.events import DeviceId
from localllm.fit.decide_mlx import plan_mlx
from localllm.fit.mlx import Reading, cache_bytes, peak_bytes
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.fit.shape import shape_of
from tests.unit.fit.a_header import GIB, MIB, llama_8b

HOST = Budget(DeviceId("cpu"), "the host", 4 * GIB, None, is_host=True)
MODEL = shape_of(llama_8b())


def on_a_mac(usable: int, wish: Wish | None = None) -> Plan:
    gpu = Budget(DeviceId("metal:0"), "Apple M4", usable, 120_000_000_000)
    return plan_mlx(llama_8b(), [gpu, HOST], wish or Wish())


def peak(context: int) -> int:
    return peak_bytes(MODEL, Reading(tokens=context))


@pytest.mark.parametrize("context", [2048, 8192, 131_072])
def test_the_context_is_the_longest_whose_peak_fits(context: int) -> None:
    fitting = on_a_mac(peak(context))

    assert (fitting.verdict, fitting.context) == (Verdict.FITS, context)
    assert fitting.memory.total == peak(context)
    assert fitting.parallel == 1


def test_one_byte_less_is_one_step_less() -> None:
    assert on_a_mac(peak(8192) - 1).context == 8192 - 256


@pytest.mark.parametrize(
    ("usable", "wish"),
    [
        (peak(2048) - 1, Wish()),
        (64 * GIB, Wish(context=200_000)),
        (peak(8192) - 1, Wish(context=8192)),
    ],
    ids=["not even the least", "more than it was trained with", "not what was asked for"],
)
def test_what_does_not_fit_says_so(usable: int, wish: Wish) -> None:
    assert on_a_mac(usable, wish).verdict is Verdict.TOO_BIG


def test_all_is_on_the_device_and_a_speed_is_predicted() -> None:
    device, host = on_a_mac(64 * GIB).placement

    assert (device.layers, host.layers, host.size_bytes) == (33, 0, 0)
    assert on_a_mac(64 * GIB).decode_tps is not None


def test_without_a_device_it_is_planned_for_the_processor_whose_attention_takes_more() -> None:
    usable = peak(8192)
    plan = plan_mlx(llama_8b(), [replace(HOST, usable_bytes=usable)], Wish())

    assert [(p.device, p.size_bytes) for p in plan.placement] == [("cpu", plan.memory.total)]
    assert plan.verdict is Verdict.FITS
    assert plan.context < 8192
    assert plan.memory.total <= usable


def one(context: int) -> int:
    return cache_bytes(MODEL, Reading(tokens=context))


@pytest.mark.parametrize(
    ("spare", "expected"),
    [
        (0, 0),
        (one(131_072) - 1, (one(131_072) - 1) // 10 // MIB * MIB),
        (one(131_072), one(131_072)),
        (4096 * GIB, one(131_072)),
    ],
    ids=["nothing is left", "less than one context", "one context", "8 GiB are less than one"],
)
def test_earlier_prompts_take_what_the_device_has_left_and_cost_no_context(
    spare: int, expected: int
) -> None:
    plan = on_a_mac(peak(131_072) + spare)

    assert (plan.context, plan.host_cache_bytes) == (131_072, expected)
    assert plan.prompts_on == "metal:0"
    assert plan.memory.total + plan.host_cache_bytes <= peak(131_072) + spare


def test_four_earlier_prompts_are_enough() -> None:
    assert on_a_mac(512 * GIB, Wish(context=8192)).host_cache_bytes == 4 * one(8192)


def test_what_does_not_fit_keeps_no_earlier_prompts() -> None:
    assert on_a_mac(peak(2048) - 1).host_cache_bytes == 0


def test_a_machine_without_a_host_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="every machine has a host"):
        plan_mlx(llama_8b(), [], Wish())
