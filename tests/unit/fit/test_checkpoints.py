"""What an engine keeps to go back in a prompt: against what it logged, and as a plan counts it.

Logged by xllamacpp 2026.10.11549 for tiny models of these dimensions, two slots, prompts of 1,500
tokens ('created context checkpoint ..., size = 3.141 MiB').
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from localllm.events import DeviceId
from localllm.fit.cache import CHECKPOINTS, Setting, checkpoint_bytes
from localllm.fit.decide import plan
from localllm.fit.explain import explain
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.fit.shape import Shape, shape_of
from localllm.formats.header import Format, Value
from tests.unit.fit.a_header import GIB, MIB, an_outline, llama_8b
from tests.unit.fit.test_compute import a_shape

DELTA: dict[str, Value] = {
    "ssm.conv_kernel": 4,
    "ssm.inner_size": 1024,
    "ssm.state_size": 128,
    "ssm.time_step_rank": 8,
    "ssm.group_count": 4,
    "full_attention_interval": 4,
}
SCAN = {**DELTA, "ssm.time_step_rank": 16, "ssm.group_count": 1}
LOGGED_DIGIT = 0.0005
SWA = "attention.sliding_window"


def long(name: str) -> Shape:
    shape = a_shape(name)
    return replace(shape, header=replace(shape.header, context_trained=131_072))


HYBRID, WINDOWS, PLAIN = long("qwen3-next-80b"), long("gpt-oss-20b"), shape_of(llama_8b())


def tiny(architecture: str, *, layers: int = 6, **keys: Value) -> Shape:
    return shape_of(an_outline(architecture, layers=layers, heads=8, heads_kv=2, dim=64, **keys))


def setting(context: int = 8192, *, kv: str = "f16") -> Setting:
    return Setting(context, 2, 512, kv_type=kv, checkpoints=CHECKPOINTS)


@pytest.mark.parametrize(
    ("shape", "logged_mib"),
    [
        (tiny("qwen35", layers=8, **DELTA), 3.141),
        (tiny("mamba2", layers=8, **SCAN), 4.117),
        (tiny("falcon-h1", **SCAN), 3.088),
        (tiny("gemma3", **{SWA: 512}), 1.256),
        (tiny("gpt-oss", **{SWA: 128}), 0.189),
    ],
    ids=lambda value: value.header.architecture if isinstance(value, Shape) else None,
)
def test_a_checkpoint_takes_what_the_engine_logs(shape: Shape, logged_mib: float) -> None:
    assert checkpoint_bytes(shape, setting()) / MIB == pytest.approx(logged_mib, abs=LOGGED_DIGIT)


@pytest.mark.parametrize("shape", [PLAIN, a_shape("bert-base")])
def test_a_cache_of_every_token_is_cut_back_without(shape: Shape) -> None:
    assert checkpoint_bytes(shape, setting()) == 0


def test_a_window_is_no_longer_than_the_context_and_takes_the_caches_type() -> None:
    shape = tiny("gemma3", **{SWA: 1024})

    whole, short, smaller = (
        checkpoint_bytes(shape, asked)
        for asked in (setting(), setting(256), setting(256, kv="q8_0"))
    )

    assert whole == 4 * short
    assert 0.5 < smaller / short < 0.55


def planned(
    shape: Shape, host: float = 200 * GIB, card: float | None = None, wish: Wish | None = None
) -> Plan:
    cards = [] if card is None else [Budget(DeviceId("cuda:0"), "card", int(card), None)]
    budgets = [*cards, Budget(DeviceId("cpu"), "host", int(host), None, is_host=True)]
    return plan(shape.header, budgets, wish or Wish(exact=False))


@pytest.mark.parametrize("shape", [HYBRID, WINDOWS], ids=["state", "window"])
def test_all_slots_checkpoints_are_counted_on_the_host(shape: Shape) -> None:
    decided = planned(shape, card=120 * GIB)

    device, host = decided.placement
    one = checkpoint_bytes(shape, setting(decided.context))
    assert decided.checkpoints == 3
    assert (decided.checkpoint_bytes, host.memory.checkpoints) == (one, 4 * 3 * one)
    assert device.memory.checkpoints == 0
    assert "checkpoints" in decided.reason


def test_where_device_and_host_share_one_memory_they_are_in_the_larger_share() -> None:
    budgets = [
        Budget(DeviceId("metal:0"), "gpu", 100 * GIB, None, shares_host=True),
        Budget(DeviceId("cpu"), "host", GIB // 2, None, is_host=True),
    ]

    device, host = plan(HYBRID.header, budgets, Wish(exact=False)).placement

    assert device.memory.checkpoints > GIB // 2
    assert host.memory.checkpoints == 0


@pytest.mark.parametrize(
    ("shape", "wish"),
    [(PLAIN, Wish(exact=False)), (HYBRID, Wish(exact=False, embeds=True))],
    ids=["cut back anywhere", "embeds"],
)
def test_what_needs_none_is_planned_without(shape: Shape, wish: Wish) -> None:
    decided = planned(shape, wish=wish)

    assert (decided.checkpoints, decided.checkpoint_bytes) == (0, 0)
    assert decided.memory.checkpoints == 0


def test_engines_of_other_formats_keep_none() -> None:
    header = replace(HYBRID.header, format=Format.SAFETENSORS)

    decided = plan(header, [Budget(DeviceId("cpu"), "host", 200 * GIB, None, is_host=True)], WISH)

    assert decided.checkpoint_bytes == 0


WISH = Wish(context=16_384, parallel=1, kv_type="f16", micro_batch=512, exact=False)


def test_they_are_the_last_that_is_given_up_for_the_context_that_is_asked_for() -> None:
    roomy = planned(HYBRID, wish=WISH)
    enough = roomy.memory.total

    just, less, short = (
        planned(HYBRID, enough - lacking, wish=WISH)
        for lacking in (0, 1, roomy.memory.checkpoints + 1)
    )

    assert (just.verdict, just.checkpoints) == (Verdict.FITS, 3)
    assert (less.verdict, less.checkpoints) == (Verdict.FITS, 0)
    assert less.checkpoint_bytes > 0, "it would need them"
    assert less.memory.total == enough - roomy.memory.checkpoints
    assert short.verdict is Verdict.TOO_BIG


def test_a_context_is_promised_only_with_its_checkpoints() -> None:
    usable = planned(WINDOWS, wish=replace(WISH, context=16_384)).memory.total

    decided = planned(WINDOWS, usable, wish=replace(WISH, context=None))

    assert (decided.context, decided.checkpoints) == (16_384, 3)
    assert decided.memory.total <= usable


def test_a_slot_or_eight_bits_go_before_them() -> None:
    usable = planned(HYBRID, wish=Wish(context=16_384, exact=False)).memory.total

    decided = planned(HYBRID, usable - MIB, wish=Wish(context=16_384, exact=False))

    assert (decided.kv_type, decided.parallel, decided.checkpoints) == ("q8_0", 4, 3)


def test_earlier_prompts_may_take_one_context_with_its_checkpoints() -> None:
    spare = 2 * GIB
    usable = planned(HYBRID, wish=WISH).memory.total + spare

    decided = planned(HYBRID, usable, wish=WISH)

    memory, own = decided.memory, 3 * decided.checkpoint_bytes
    least = memory.kv_cache + memory.recurrent_state + own
    assert least <= decided.host_cache_bytes < least + MIB


@pytest.mark.parametrize("shape", [HYBRID, WINDOWS, a_shape("gemma4-e4b")])
def test_its_formula_gives_its_number(shape: Shape) -> None:
    decided = planned(shape)

    told = next(one for one in explain(shape, decided) if one.part == "checkpoints")

    found = re.fullmatch(r"(\d+) slots x (\d+) x \((.*)\), as they come", told.formula)
    assert found is not None
    slots, kept, inner = found.groups()
    products = [re.findall(r"\d+", term) for term in inner.split(" + ")]
    one = sum(int(first) * int(second) for first, second in products)
    assert int(slots) * int(kept) * one == told.size_bytes == decided.memory.checkpoints
