"""What a load turned out to be beside its plan, device by device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.engines.load_log import LoadReport, parse_load_log
from localllm.events import DeviceId
from localllm.fit.plan import Memory, Placement
from localllm.hardware.machine import CPU
from localllm.planning.choice import Choice
from localllm.planning.planner import Planned, serving_of
from localllm.planning.proof import PROMISED_SHARE, Placed, broken_promises, placed
from tests.unit.planning.a_machine import METAL, a_card, a_mac_gpu, a_plan, an_engine, cuda, vulkan

MIB, GIB = 1 << 20, 1 << 30
MEMORY = Memory(weights=90 * MIB, kv_cache=45 * MIB, compute=14 * MIB, output=0, overhead=700 * MIB)
ON_HOST = Memory(weights=29 * MIB, kv_cache=0, compute=4 * MIB, output=MIB)
LOG = """
load_tensors: offloaded 31/31 layers to GPU
load_tensors:   CPU_Mapped model buffer size =    28.69 MiB
load_tensors:        CUDA0 model buffer size =    44.00 MiB
load_tensors:        CUDA1 model buffer size =    48.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =    31.50 MiB
llama_kv_cache:      CUDA1 KV buffer size =    13.50 MiB
llama_context:   CUDA_Host output buffer size =     0.19 MiB
sched_reserve:       CUDA0 compute buffer size =    23.75 MiB
sched_reserve:       CUDA1 compute buffer size =    23.75 MiB
sched_reserve:   CUDA_Host compute buffer size =    10.25 MiB
"""


def two_cards(first: int = 20, second: int = 11) -> Planned:
    """A plan over two cards; a card with no layers is in the choice, and not in the plan."""
    single = a_plan(device=a_card(), seen=cuda())
    cards = (a_card(0, "the first"), a_card(1, "the second"))
    parts = [
        Placement(card.id, layers, MEMORY)
        for card, layers in zip(cards, (first, second), strict=True)
        if layers
    ]
    plan = replace(single.plan, placement=(*parts, Placement(CPU, 0, ON_HOST)))
    choice = Choice(an_engine("llama-server", cuda(0), cuda(1)), cards, (cuda(0), cuda(1)))
    return replace(single, choice=choice, plan=plan)


def proof(planned: Planned, load: LoadReport | None) -> list[Placed]:
    return list(placed(planned, serving_of(planned, silence_s=1.0), load))


def test_each_device_has_its_own_part_and_the_host_the_rest() -> None:
    first, second, host = proof(two_cards(), parse_load_log(LOG))

    assert (first.device, first.name, first.layers) == ("cuda:0", "the first", 20)
    assert (second.device, second.name, second.layers) == ("cuda:1", "the second", 11)
    assert (host.device, host.name, host.layers) == ("cpu", "processor", 0)
    assert [p.measured_bytes for p in (first, second)] == [99.25 * MIB, 85.25 * MIB]
    assert host.measured_bytes == pytest.approx(39.13 * MIB, abs=0.02 * MIB)


def test_what_no_log_speaks_of_is_not_compared() -> None:
    first, _, host = proof(two_cards(), None)

    assert first.predicted_bytes == 149 * MIB, "without the runtime's own"
    assert host.predicted_bytes == 34 * MIB


@pytest.mark.parametrize("load", [None, LoadReport(), parse_load_log("main: server is listening")])
def test_where_nothing_is_measured_nothing_is_said(load: LoadReport | None) -> None:
    parts = proof(two_cards(), load)

    assert [p.measured_bytes for p in parts] == [None, None, None]
    assert list(broken_promises(parts)) == []


def test_a_card_alone_is_called_what_its_process_calls_it() -> None:
    """The second card, which is the only one that its engine is shown, is the engine's first."""
    (second, _) = proof(two_cards(first=0), parse_load_log(LOG))

    assert (second.name, second.measured_bytes) == ("the second", 99.25 * MIB)


def test_a_device_that_the_log_passes_over_has_nothing() -> None:
    _, second, _ = proof(two_cards(), parse_load_log(LOG.replace("CUDA1", "CUDA7")))

    assert second.measured_bytes == 0


def test_metals_buffers_of_all_kinds_are_one_devices() -> None:
    log = """
    load_tensors:  MTL0_Mapped model buffer size =   92.00 MiB
    llama_kv_cache: MTL0_Private KV buffer size =   45.00 MiB
    sched_reserve:   MTL0 compute buffer size =   13.00 MiB
    sched_reserve:   CPU compute buffer size =    4.00 MiB
    """
    gpu = a_mac_gpu(memory_total=48 * GIB, memory_usable=36 * GIB)

    parts = proof(a_plan(device=gpu, seen=METAL), parse_load_log(log))

    assert [(p.device, p.measured_bytes) for p in parts] == [
        ("metal:0", 150 * MIB),
        ("cpu", 4 * MIB),
    ]


def test_on_the_processor_all_of_it_is_the_hosts() -> None:
    log = "CPU model buffer size = 90.00 MiB\nCPU KV buffer size = 45.00 MiB"

    (host,) = proof(a_plan(), parse_load_log(log))

    assert (host.device, host.measured_bytes) == ("cpu", 135 * MIB)


def test_a_device_that_only_the_engine_names_has_its_part() -> None:
    card = a_card(uuid=None)
    log = "Vulkan0 model buffer size = 92.00 MiB\nVulkan_Host compute buffer size = 4.00 MiB"

    first, host = proof(a_plan(device=card, seen=vulkan()), parse_load_log(log))

    assert (first.measured_bytes, host.measured_bytes) == (92 * MIB, 4 * MIB)


def a_part(predicted: int, measured: int | None) -> Placed:
    return Placed(DeviceId("cuda:0"), "the card", 31, predicted, measured)


@pytest.mark.parametrize(
    ("predicted", "measured", "is_broken"),
    [
        (100 * MIB, 100 * MIB, False),
        (100 * MIB, 50 * MIB, False),
        (100 * MIB, 101 * MIB, False),  # one hundredth
        (100 * MIB, 101 * MIB + MIB // 4, False),  # and what a log's rounding adds up to
        (100 * MIB, 101 * MIB + MIB // 4 + 1, True),
        (0, MIB // 4, False),
        (0, MIB, True),
        (100 * MIB, None, False),
    ],
)
def test_a_promise_is_broken_by_more_than_a_hundredth(
    predicted: int, measured: int | None, is_broken: bool
) -> None:
    assert PROMISED_SHARE == 0.01
    assert bool(list(broken_promises([a_part(predicted, measured)]))) == is_broken


def test_a_broken_promise_is_told_with_what_it_means() -> None:
    parts = [a_part(GIB, GIB), a_part(GIB + 10 * MIB, GIB + 40 * MIB)]

    assert list(broken_promises(parts)) == [
        "the card took 1.0 GiB, 30 MiB more than planned: the next start is planned with what "
        "was measured"
    ]
