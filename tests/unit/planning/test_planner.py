"""From a plan to an engine's settings, and to what the scheduler counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from localllm.engines.base import Adapter, Drafting, Serving, Task
from localllm.errors import DoesNotFit
from localllm.events import DeviceId
from localllm.fit.plan import Draft, Verdict
from localllm.formats.adapter import AdapterHeader
from localllm.hardware.machine import CPU
from localllm.planning.choice import Choice
from localllm.planning.companions import Companions
from localllm.planning.planner import budgets_of, require_fit, serving_of
from tests.unit.fit.a_header import smollm2
from tests.unit.planning.a_machine import GIB, a_card, a_mac_gpu, a_machine, a_plan, an_engine, cuda

CARD = a_card()
GPU = CARD.id
MIB = 1 << 20


def test_a_plan_on_the_processor_becomes_settings_without_a_device() -> None:
    planned = a_plan(context=4096)

    assert serving_of(planned, silence_s=60.0) == Serving(
        model_file=Path("/models/smol.gguf"),
        file_bytes=planned.stored.file_bytes,
        alias="smollm2",
        context=4096,
        parallel=4,
        kv_type="f16",
        micro_batch=512,
        threads=6,
        host_cache_bytes=planned.plan.host_cache_bytes,
        devices=(),
        split=(),
        layers=31,
        uuids=(),
        silence_s=60.0,
    )
    assert planned.device_name == "processor"


def test_a_plan_on_a_card_names_it_by_uuid_and_puts_every_layer_there() -> None:
    planned = a_plan(device=CARD, seen=cuda())

    serving = serving_of(planned, silence_s=1.0)

    assert (serving.devices, serving.uuids) == ((cuda(),), ("GPU-0",))
    assert (serving.split, serving.layers, serving.whole) == ((31,), 31, True)
    assert planned.device_name == CARD.name


def test_the_cache_of_earlier_prompts_counts_as_needed_on_the_host() -> None:
    planned = a_plan(device=CARD, seen=cuda())

    placed = planned.plan.need
    assert planned.plan.host_cache_bytes > 0
    assert planned.need == {GPU: placed[GPU], CPU: placed[CPU] + planned.plan.host_cache_bytes}


def test_the_cache_of_earlier_prompts_counts_where_the_engine_has_it() -> None:
    planned = a_plan(device=CARD, seen=cuda())

    there = replace(planned, plan=replace(planned.plan, prompts_on=GPU))

    placed = planned.plan.need
    assert there.need == {GPU: placed[GPU] + planned.plan.host_cache_bytes, CPU: placed[CPU]}


def test_the_engine_keeps_the_checkpoints_that_are_planned() -> None:
    planned = a_plan()
    hybrid = replace(planned, plan=replace(planned.plan, checkpoints=3))

    assert serving_of(hybrid, silence_s=1.0).checkpoints == 3
    assert serving_of(planned, silence_s=1.0).checkpoints == 0


def test_checkpoints_in_a_memory_that_is_shared_are_of_the_larger_share() -> None:
    gpu = a_mac_gpu(memory_usable=24 * GIB)

    survey = a_machine(gpu, usable=28 * GIB)
    budgets = budgets_of(Choice(an_engine("xllamacpp"), (gpu,)), survey)

    assert [budget.shares_host for budget in budgets] == [True, False]


def test_a_card_gives_its_runtime_a_share_before_any_buffer() -> None:
    on_card, on_host = a_plan(device=CARD, seen=cuda()), a_plan()

    assert on_card.plan.memory.overhead == 768 * MIB
    assert on_host.plan.memory.overhead == 0


def test_what_our_own_models_would_give_back_may_be_planned_with() -> None:
    full = a_card(memory_usable=0)

    without = a_plan(device=full, seen=cuda())
    again = a_plan(device=full, seen=cuda(), reclaimable={GPU: 8 * GIB, CPU: GIB})

    assert (without.plan.verdict, again.plan.verdict) == (Verdict.TOO_BIG, Verdict.FITS)
    assert without.budget == {GPU: 0, CPU: 32 * GIB}
    assert again.budget == {GPU: 8 * GIB, CPU: 33 * GIB}


def test_a_device_that_tells_no_memory_offers_none() -> None:
    planned = a_plan(device=a_card(memory_usable=None), seen=cuda())

    assert planned.budget[GPU] == 0
    assert planned.plan.verdict is Verdict.TOO_BIG


def test_memory_that_device_and_host_share_is_not_spent_twice() -> None:
    gpu = a_mac_gpu(memory_usable=24 * GIB)

    planned = a_plan(a_machine(gpu, usable=28 * GIB), gpu)

    assert planned.budget == {gpu.id: 23 * GIB, CPU: 5 * GIB}


def test_shared_memory_that_a_model_of_ours_gives_back_is_there_for_the_next_plan() -> None:
    gpu = a_mac_gpu(memory_usable=8 * GIB)

    planned = a_plan(a_machine(gpu, usable=8 * GIB), gpu, reclaimable={gpu.id: 16 * GIB})

    assert planned.budget == {gpu.id: 23 * GIB, CPU: GIB}
    assert planned.plan.verdict is Verdict.FITS


def test_two_plans_of_one_model_are_two_instances_of_it() -> None:
    small, large = a_plan(context=2048), a_plan(context=4096)

    assert (small.instance, large.instance) == ("smollm2:q4_1:2048", "smollm2:q4_1:4096")
    assert small.model == large.model == "smollm2"
    assert a_plan(context=2048).instance == small.instance


SMALL = Companions(draft=Draft(5, smollm2()), draft_file=Path("/models/small.gguf"))


def test_a_draft_on_the_processor_has_no_layer_on_a_device() -> None:
    planned = replace(a_plan(), companions=SMALL)

    serving = serving_of(planned, silence_s=1.0)

    assert serving.drafting == Drafting(5, Path("/models/small.gguf"), "f16")


def test_a_draft_on_the_only_card_is_where_the_model_is_with_all_its_layers() -> None:
    planned = replace(a_plan(device=CARD, seen=cuda()), companions=SMALL)

    drafting = serving_of(planned, silence_s=1.0).drafting

    assert drafting == Drafting(5, Path("/models/small.gguf"), "f16", layers=31)


def test_heads_of_the_models_own_are_named_without_a_file() -> None:
    planned = replace(a_plan(), companions=Companions(draft=Draft(2)))

    assert serving_of(planned, silence_s=1.0).drafting == Drafting(2, None, "f16")


def test_what_else_goes_with_a_model_reaches_its_engine_and_its_measurements() -> None:
    with_all = Companions(
        adapters=(Adapter(Path("/models/a.gguf"), 0.5),),
        adapter_headers=(AdapterHeader("llama", ()),),
        pooling="mean",
        engine_args=("--seed", "7"),
    )
    alone = a_plan()
    planned = replace(alone, companions=with_all, task=Task.EMBED)

    serving = serving_of(planned, silence_s=1.0)

    assert (serving.adapters, serving.engine_args) == (with_all.adapters, ("--seed", "7"))
    assert (serving.task, serving.pooling) == (Task.EMBED, "mean")
    assert planned.setting == msgspec.structs.replace(
        alone.setting, beside="embed; lora 0 x0.5; --seed 7"
    )
    assert not planned.setting.same_speed(alone.setting)


def test_a_plan_that_does_not_fit_is_refused_with_its_numbers() -> None:
    planned = a_plan(a_machine(usable=50 * MIB))

    with pytest.raises(DoesNotFit) as caught:
        require_fit(planned)

    assert caught.value.what == "smollm2 does not fit on this machine."
    assert "50 MiB can be used" in caught.value.why
    assert caught.value.fix.startswith("localllm plan smollm2")
    assert caught.value.exit_code == 3


def test_a_plan_that_fits_is_let_through() -> None:
    require_fit(a_plan(reclaimable={DeviceId("cuda:7"): GIB}))
