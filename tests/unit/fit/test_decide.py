"""Which plan a model gets on which machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.events import DeviceId
from localllm.fit.cache import Setting
from localllm.fit.decide import plan
from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.memory import memory_of
from localllm.fit.placing import arrange
from localllm.fit.placing import on_host as all_on_host
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.fit.shape import shape_of
from localllm.formats.header import Header
from tests.unit.fit.a_header import GIB, MIB, llama_8b, smollm2, with_keys

ANYTHING = Wish()
SMOL, LLAMA = smollm2(), llama_8b()


def a_host(usable: float = 16 * GIB) -> Budget:
    return Budget(DeviceId("cpu"), "the host", int(usable), None, is_host=True)


def a_card(usable: float, *, number: int = 0, overhead: int = 0) -> Budget:
    card = DeviceId(f"cuda:{number}")
    return Budget(card, f"card {number}", int(usable), 1_000_000_000_000, overhead)


def on_host(usable: float, wish: Wish = ANYTHING, header: Header = SMOL) -> Plan:
    return plan(header, [a_host(usable)], wish)


def alone(context: int, parallel: int = 4, *, kv: str = "f16", micro_batch: int = 512) -> int:
    """What SmolLM2 takes on the host; the defaults are what is tried first."""
    shape = shape_of(SMOL)
    asked = Setting(context, parallel, micro_batch, kv_type=kv)
    return memory_of(shape, asked, all_on_host(shape), ())[0].total


def least(context: int) -> int:
    """What SmolLM2 takes on the host when all is given up for the context."""
    return alone(context, 1, kv="q8_0", micro_batch=256)


AS_WISHED = Wish(kv_type="f16", parallel=4, micro_batch=512)
"""Nothing may be given up."""


@pytest.mark.parametrize(
    ("usable", "wish", "expected"),
    [
        (4 * GIB, Wish(), (Verdict.FITS, 8192)),
        (4 * GIB, Wish(context=3000), (Verdict.FITS, 3000)),
        (4 * GIB, Wish(context=8192), (Verdict.FITS, 8192)),
        (4 * GIB, Wish(context=8193), (Verdict.TOO_BIG, 8192)),
        (4 * GIB, Wish(context=256), (Verdict.FITS, 256)),
        (alone(8192), AS_WISHED, (Verdict.FITS, 8192)),
        (alone(8192) - 1, AS_WISHED, (Verdict.FITS, 7936)),
        (alone(8192) - 1, replace(AS_WISHED, context=8192), (Verdict.TOO_BIG, 8192)),
        (alone(8192, 1), replace(AS_WISHED, parallel=1), (Verdict.FITS, 8192)),
        (alone(2048), AS_WISHED, (Verdict.FITS, 2048)),
        (alone(2048) - 1, AS_WISHED, (Verdict.TOO_BIG, 2048)),
        (least(2048), Wish(), (Verdict.FITS, 2048)),
        (least(2048) - 1, Wish(), (Verdict.TOO_BIG, 2048)),
        (least(2048) - 1, Wish(context=1024), (Verdict.FITS, 1024)),
        (0, Wish(), (Verdict.TOO_BIG, 2048)),
    ],
)
def test_the_longest_context_that_fits_is_chosen(
    usable: int, wish: Wish, expected: tuple[Verdict, int]
) -> None:
    decided = on_host(usable, wish)

    assert (decided.verdict, decided.context) == expected


@pytest.mark.parametrize("context", range(2048, 8193, 256))
def test_not_one_step_is_given_away(context: int) -> None:
    assert on_host(alone(context), AS_WISHED).context == context


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        (alone(8192), ("f16", 4, 512)),
        (alone(8192) - 1, ("q8_0", 4, 512)),
        (alone(8192, kv="q8_0") - 1, ("q8_0", 1, 256)),
    ],
)
def test_cache_and_slots_are_given_up_for_the_context_that_is_needed_and_no_sooner(
    usable: int, expected: tuple[str, int, int]
) -> None:
    decided = on_host(usable, Wish(goal=65_536))

    assert decided.context == 8192
    assert (decided.kv_type, decided.parallel, decided.micro_batch) == expected


def test_a_goal_that_is_reached_costs_nothing_more() -> None:
    decided = on_host(alone(4096), Wish(goal=4096))

    assert (decided.context, decided.kv_type, decided.parallel) == (4096, "f16", 4)


@pytest.mark.parametrize(
    ("trained", "expected"), [(100, 100), (1000, 1000), (2000, 2000), (5000, 4864), (None, 4096)]
)
def test_the_context_is_in_whole_steps_up_to_the_trained_one(
    trained: int | None, expected: int
) -> None:
    decided = on_host(16 * GIB, header=replace(SMOL, context_trained=trained))

    assert (decided.verdict, decided.context) == (Verdict.FITS, expected)


def test_an_unknown_trained_context_is_said_and_does_not_limit_a_wish() -> None:
    decided = on_host(16 * GIB, Wish(context=16_384), replace(SMOL, context_trained=None))

    assert (decided.verdict, decided.context) == (Verdict.FITS, 16_384)
    assert "states no longest context" in decided.reason


def test_what_is_not_wished_is_four_slots_and_an_f16_cache() -> None:
    decided = on_host(16 * GIB)

    assert (decided.parallel, decided.kv_type, decided.micro_batch) == (4, "f16", 512)
    assert (decided.layers, decided.speed) == (31, None)


def test_the_reason_has_the_numbers_that_decided() -> None:
    assert on_host(4 * GIB, Wish(parallel=1)).reason == (
        "295 MiB of 4.0 GiB on the host: weights 92 MiB, "
        "KV cache 180 MiB (8192 tokens, f16), buffers 23 MiB."
    )
    assert on_host(100 * MIB, replace(AS_WISHED, parallel=1)).reason == (
        "154 MiB are needed on the host, 100 MiB can be used: weights 92 MiB, "
        "KV cache 45 MiB (2048 tokens, f16), buffers 17 MiB."
    )


def test_a_wish_beyond_the_trained_context_is_answered_with_both_numbers() -> None:
    reason = on_host(16 * GIB, Wish(context=9000)).reason

    assert "9000" in reason
    assert "8192" in reason


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ([a_card(8 * GIB)], ("cuda:0", "cpu")),
        ([a_card(8 * GIB), a_card(24 * GIB, number=1)], ("cuda:0", "cpu")),
        ([a_card(2 * GIB), a_card(24 * GIB, number=1)], ("cuda:1", "cpu")),
        ([], ("cpu",)),
    ],
    ids=["one card", "the preferred of two", "the first that is large enough", "no card"],
)
def test_a_whole_model_goes_to_the_first_device_that_takes_it(
    cards: list[Budget], expected: tuple[str, ...]
) -> None:
    decided = plan(LLAMA, [*cards, a_host()], ANYTHING)

    assert decided.verdict is Verdict.FITS
    assert tuple(p.device for p in decided.placement) == expected
    assert [p.layers for p in decided.placement] == [33, 0][: len(expected)]


def test_a_model_that_no_card_takes_goes_over_both() -> None:
    decided = plan(LLAMA, [a_card(4 * GIB), a_card(2 * GIB, number=1), a_host()], Wish())

    assert decided.verdict is Verdict.FITS
    first, second, rest = decided.placement
    assert (first.layers + second.layers, rest.layers) == (33, 0)
    assert first.layers > second.layers > 0


def test_layers_that_no_card_takes_stay_on_the_host_and_the_verdict_says_so() -> None:
    decided = plan(LLAMA, [a_card(3 * GIB), a_host()], Wish())

    assert decided.verdict is Verdict.FITS_PARTLY
    card, rest = decided.placement
    assert (card.layers > 0, card.layers + rest.layers) == (True, 33)
    assert f"{rest.layers} of 33 layers on the processor" in decided.reason


def test_what_neither_cards_nor_host_take_is_too_big() -> None:
    decided = plan(LLAMA, [a_card(1 * GIB), a_card(2 * GIB, number=1), a_host(GIB)], Wish())

    assert (decided.verdict, decided.host_cache_bytes) == (Verdict.TOO_BIG, 0)
    assert "can be used" in decided.reason


def test_a_card_is_no_use_when_the_host_cannot_hold_its_part() -> None:
    decided = plan(LLAMA, [a_card(24 * GIB), a_host(256 * MIB)], ANYTHING)

    assert decided.verdict is Verdict.TOO_BIG
    assert "are needed on the host, 256 MiB can be used" in decided.reason


def on_a_card(context: int) -> tuple[int, int]:
    """What SmolLM2 takes of a card and of the host beside it."""
    shape = shape_of(SMOL)
    device, host = memory_of(shape, Setting(context, 4, 512), arrange(shape, [1]), ["cuda"])
    return device.total, host.total


def test_each_device_is_told_what_it_gives_the_runtimes_share_included() -> None:
    decided = plan(SMOL, [a_card(1 * GIB, overhead=300 * MIB), a_host()], ANYTHING)

    device, host = on_a_card(8192)
    assert decided.need == {"cuda:0": device + 300 * MIB, "cpu": host}
    assert decided.memory.total == sum(decided.need.values())
    assert decided.memory.overhead == 300 * MIB


@pytest.mark.parametrize(("spare", "expected"), [(300 * MIB, 8192), (300 * MIB - 1, 7936)])
def test_what_the_runtime_takes_is_not_there_for_a_context(spare: int, expected: int) -> None:
    full, _ = on_a_card(8192)

    decided = plan(SMOL, [a_card(full + spare, overhead=300 * MIB), a_host()], AS_WISHED)

    assert decided.context == expected


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        (16 * GIB, 4 * 180 * MIB),
        (alone(8192) + 3 * GIB, 307 * MIB),
        (alone(8192) + 1 * GIB, 180 * MIB),
        (alone(8192) + 180 * MIB, 180 * MIB),
        (alone(8192) + 180 * MIB - 1, 17 * MIB),
        (alone(8192), 0),
    ],
    ids=[
        "four contexts",
        "a tenth of what is left",
        "one context, which is more than that",
        "all that is left, which is one context",
        "a tenth of less than a context",
        "nothing is left",
    ],
)
def test_earlier_prompts_may_take_of_the_host(usable: int, expected: int) -> None:
    assert on_host(usable).host_cache_bytes == expected


def test_several_earlier_prompts_never_take_more_than_8_gib_and_a_single_one_may() -> None:
    several = on_host(4096 * GIB, Wish(context=32_768), header=LLAMA)
    single = on_host(4096 * GIB, Wish(context=131_072), header=LLAMA)

    assert (several.memory.kv_cache, several.host_cache_bytes) == (4 * GIB, 8 * GIB)
    assert (single.memory.kv_cache, single.host_cache_bytes) == (16 * GIB, 16 * GIB)


def test_a_card_with_a_known_bandwidth_gets_a_speed_and_twice_the_bandwidth_more() -> None:
    card = a_card(24 * GIB)
    faster = replace(card, bandwidth=2 * (card.bandwidth or 0))

    slow, fast = (plan(LLAMA, [each, a_host()], ANYTHING).decode_tps for each in (card, faster))

    assert slow is not None
    assert fast is not None
    assert slow < fast < 2 * slow


def test_kinds_of_state_that_are_not_covered_are_refused_not_called_too_big() -> None:
    with pytest.raises(UnsupportedArchitecture):
        plan(with_keys(SMOL, wkv__head_size=16), [a_host()], ANYTHING)


@pytest.mark.parametrize("budgets", [[], [a_card(GIB)], [a_host(), a_host()]])
def test_there_is_exactly_one_host(budgets: list[Budget]) -> None:
    with pytest.raises(ValueError, match="hosts"):
        plan(SMOL, budgets, ANYTHING)


@pytest.mark.parametrize("wish", [Wish(context=0), Wish(parallel=-1), Wish(micro_batch=0)])
def test_a_wish_is_positive(wish: Wish) -> None:
    with pytest.raises(ValueError, match="is"):
        on_host(GIB, wish)


WISHES = st.builds(
    Wish,
    context=st.none() | st.integers(1, 200_000),
    parallel=st.none() | st.integers(1, 64),
    micro_batch=st.sampled_from([None, 64, 500, 512, 2048]),
    goal=st.sampled_from([None, 16_384, 65_536]),
)
BYTES = st.integers(0, 40 * GIB)


def budgets_of(card: int | None, host: int) -> list[Budget]:
    return [a_host(host)] if card is None else [a_card(card, overhead=200 * MIB), a_host(host)]


@given(st.none() | BYTES, BYTES, WISHES)
@hypothesis_settings(deadline=None, max_examples=20)
def test_a_plan_that_fits_stays_within_every_budget(
    card: int | None, host: int, wish: Wish
) -> None:
    budgets = budgets_of(card, host)

    decided = plan(LLAMA, budgets, wish)

    if decided.verdict is not Verdict.TOO_BIG:
        cache = {"cpu": decided.host_cache_bytes}
        for budget in budgets:
            need = decided.need.get(budget.device, 0) + cache.get(budget.device, 0)
            assert need <= budget.usable_bytes


@given(BYTES, BYTES, st.integers(0, 8 * GIB), WISHES)
@hypothesis_settings(deadline=None, max_examples=20)
def test_more_memory_never_takes_away_the_context_that_is_needed(
    card: int, host: int, more: int, wish: Wish
) -> None:
    less = plan(LLAMA, budgets_of(card, host), wish)

    richer = plan(LLAMA, budgets_of(card + more, host + more), wish)

    if less.verdict is Verdict.FITS:
        assert richer.verdict is Verdict.FITS
        assert richer.context >= min(less.context, wish.goal or 16_384)
