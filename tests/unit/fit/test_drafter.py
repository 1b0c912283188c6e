"""What a draft takes, where it goes, and what is left for the model beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from localllm.events import DeviceId
from localllm.fit.cache import Setting, state_bytes
from localllm.fit.decide import plan
from localllm.fit.drafter import drafter_of, rollback_of
from localllm.fit.errors import UnsupportedArchitecture
from localllm.fit.memory import memory_of
from localllm.fit.placing import arrange, on_host
from localllm.fit.plan import Budget, Draft, Verdict, Wish
from localllm.fit.shape import shape_of
from localllm.formats.header import Header
from tests.unit.fit.a_header import GIB, MIB, llama_8b, smollm2, with_keys

SMOL, LLAMA = smollm2(), llama_8b()
SMALL = Draft(3, SMOL)
LOGITS = 4 * LLAMA.vocabulary
SLOTS = 2
FIXED = Wish(context=4096, parallel=SLOTS, kv_type="f16", micro_batch=512)


def a_host(usable: float = 64 * GIB) -> Budget:
    return Budget(DeviceId("cpu"), "the host", int(usable), None, is_host=True)


def a_card(number: int = 0, usable: float = 24 * GIB) -> Budget:
    return Budget(DeviceId(f"cuda:{number}"), f"card {number}", int(usable), None)


def alone(header: Header, kv_type: str = "f16") -> tuple[int, int]:
    """What a model takes alone on a card and on the host beside it."""
    shape = shape_of(header)
    setting = Setting(4096, SLOTS, 512, kv_type)
    card, host = memory_of(shape, setting, arrange(shape, [1]), ["cuda"])
    return card.total, host.total


def with_heads(header: Header) -> Header:
    """The last layer only guesses ahead."""
    return with_keys(header, nextn_predict_layers=1)


def test_a_draft_takes_what_it_would_take_alone_and_the_logits_of_its_guesses() -> None:
    shape = shape_of(SMOL)
    (whole,) = memory_of(shape, Setting(4096, SLOTS, 512), on_host(shape), ())

    planned = plan(LLAMA, [a_host()], replace(FIXED, draft=SMALL))

    assert planned.memory.draft == whole.total + SLOTS * 3 * LOGITS
    assert planned.memory.total == plan(LLAMA, [a_host()], FIXED).memory.total + (
        planned.memory.draft
    )


def test_a_draft_goes_to_the_device_of_its_model_and_its_table_to_the_host() -> None:
    planned = plan(LLAMA, [a_card(), a_host()], replace(FIXED, draft=SMALL))

    on_card, beside = alone(SMOL)
    assert [p.memory.draft for p in planned.placement] == [on_card, beside + SLOTS * 3 * LOGITS]


def test_a_draft_of_a_model_over_two_devices_is_on_the_first() -> None:
    small = [a_card(0, 4 * GIB), a_card(1, 4 * GIB), a_host()]

    planned = plan(LLAMA, small, replace(FIXED, draft=SMALL))

    first, second, _ = planned.placement
    assert planned.verdict is Verdict.FITS
    assert first.memory.draft == alone(SMOL)[0]
    assert second.memory.draft == 0
    assert first.layers < second.layers


def test_a_draft_keeps_its_cache_as_the_model_does_where_its_heads_allow_it() -> None:
    odd = replace(SMOL, key_dim=40, value_dim=40)

    quantized = plan(LLAMA, [a_card(), a_host()], replace(FIXED, kv_type="q8_0", draft=SMALL))
    kept = plan(LLAMA, [a_card(), a_host()], replace(FIXED, kv_type="q8_0", draft=Draft(3, odd)))

    assert quantized.placement[0].memory.draft == alone(SMOL, "q8_0")[0]
    assert kept.placement[0].memory.draft == alone(odd, "f16")[0]


def test_a_draft_leaves_less_context_where_memory_is_short() -> None:
    short = [a_card(usable=9 * GIB), a_host()]
    wish = replace(FIXED, context=None)

    without, beside = (plan(LLAMA, short, replace(wish, draft=d)) for d in (None, SMALL))

    assert without.verdict is beside.verdict is Verdict.FITS
    assert 2048 < beside.context < without.context


def test_a_draft_that_does_not_fit_beside_is_said_with_its_size() -> None:
    planned = plan(SMOL, [a_host(200 * MIB)], replace(FIXED, draft=SMALL))

    assert planned.verdict is Verdict.TOO_BIG
    assert ", draft 2" in planned.reason


@given(
    first=st.integers(0, 12 * GIB),
    second=st.integers(0, 12 * GIB),
    host=st.integers(1 * GIB, 12 * GIB),
    heads=st.booleans(),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_with_a_draft_too_no_device_is_asked_for_more_than_it_has(
    first: int, second: int, host: int, heads: bool
) -> None:
    budgets = [a_card(0, first), a_card(1, second), a_host(host)]
    header = with_heads(LLAMA) if heads else LLAMA
    wish = Wish(draft=Draft(3) if heads else SMALL, exact=False)

    planned = plan(header, budgets, wish)

    usable = {budget.device: budget.usable_bytes for budget in budgets}
    fits = all(p.size_bytes <= usable[p.device] for p in planned.placement)
    assert fits is (planned.verdict is not Verdict.TOO_BIG)


def test_heads_of_the_models_own_are_where_its_last_layer_is() -> None:
    small = [a_card(0, 4 * GIB), a_card(1, 4 * GIB), a_host()]

    planned = plan(with_heads(LLAMA), small, replace(FIXED, draft=Draft(3)))

    first, second, host = planned.placement
    block = sum(t.size_bytes for t in LLAMA.tensors if t.name.startswith("blk.31."))
    assert first.memory.draft == 0
    assert second.memory.draft > block + 4096 * 2 * 1024 * 2  # and a cache of one layer
    assert host.memory.draft > SLOTS * 3 * LOGITS


def test_heads_are_asked_for_in_vain_of_a_model_that_has_none() -> None:
    with pytest.raises(UnsupportedArchitecture, match="no blocks that guess tokens ahead"):
        plan(LLAMA, [a_host()], replace(FIXED, draft=Draft(3)))


def test_nothing_guesses_unless_it_is_asked_for() -> None:
    assert drafter_of(None, LLAMA, []) is None
    assert plan(with_heads(LLAMA), [a_host()], FIXED).memory.draft == 0


def test_only_heads_of_delta_nets_are_taken_back_by_states_that_are_kept() -> None:
    net = shape_of(LLAMA)
    layer = replace(net.layers[0], state=1000)
    recurrent = replace(net, layers=(layer, *net.layers[1:]))
    delta = replace(recurrent, header=replace(LLAMA, architecture="qwen35"))

    assert rollback_of(Draft(3), delta) == 3
    assert rollback_of(Draft(3), recurrent) == 0
    assert rollback_of(Draft(3), replace(net, header=delta.header)) == 0
    assert rollback_of(SMALL, delta) == 0
    assert rollback_of(None, delta) == 0
    assert state_bytes(layer, Setting(4096, SLOTS, 512, rollback=3)) == 4 * SLOTS * 4000
