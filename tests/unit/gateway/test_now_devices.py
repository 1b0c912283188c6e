"""What each device holds: our models by their parts, the rest as others', and one memory counted once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from localllm.api.now_views import DeviceNowView
from localllm.events import DeviceId
from localllm.events import ModelState as S
from localllm.fit.plan import Memory, Placement
from localllm.gateway.now_devices import Sight, render_devices
from localllm.gateway.now_routes import render_host
from localllm.hardware.described import describe_machine
from localllm.hardware.machine import CPU
from localllm.hardware.vitals import DeviceVitals, Pressure, Vitals
from localllm.paths import bundled_profiles
from localllm.planning.planner import Planned
from localllm.units import GIB, MIB
from tests.fakes.house import a_plan

FIRST, SECOND, METAL = DeviceId("cuda:0"), DeviceId("cuda:1"), DeviceId("metal:0")
HALF = Memory(weights=9 * GIB, kv_cache=3 * GIB, compute=GIB, output=0, overhead=GIB // 2)
REST = Memory(weights=GIB, kv_cache=0, compute=0, output=0)


@dataclass
class Held:
    """An instance, as far as it is asked here."""

    planned: Planned
    state: S = S.READY
    id: str = "small:q4_1:4096"
    more: int = 0
    """That its load took beyond the plan, of each device."""

    @property
    def taken(self) -> Mapping[DeviceId, int]:
        return {d: count + self.more for d, count in self.planned.plan.need.items()}


def on(parts: Mapping[DeviceId, Memory], **more: Any) -> Held:
    planned = a_plan()
    placement = tuple(Placement(device, 1, memory) for device, memory in parts.items())
    return Held(replace(planned, plan=replace(planned.plan, placement=placement)), **more)


def seen(free: Mapping[DeviceId, int], available: int = 40 * GIB) -> Vitals:
    devices = {
        d: DeviceVitals(None, count, None, 60, power_w=300.0, utilization=0.5)
        for d, count in free.items()
    }
    return Vitals(available, Pressure.WARN, "short", None, None, devices, utilization=0.2)


def shown(
    machine: str, vitals: Vitals | None, *held: Held, **sight: Any
) -> dict[str, DeviceNowView]:
    found = describe_machine(machine, bundled_profiles())
    known = {"lost": {}, "hot": {}, **sight}
    devices = render_devices(Sight(found, vitals, **known), held)  # type: ignore[arg-type]
    assert devices[-1].id == "cpu"
    return {device.id: device for device in devices}


def test_a_model_over_two_cards_has_its_part_of_each_and_of_the_host() -> None:
    split = on({FIRST: HALF, SECOND: HALF, CPU: REST})

    devices = shown("2xrtx5090", seen({FIRST: 15 * GIB, SECOND: 16 * GIB}), split)

    for card in (devices["cuda:0"], devices["cuda:1"]):
        (part,) = card.held
        assert (part.weights, part.cache, part.other) == (9 * GIB, 3 * GIB, GIB + GIB // 2)
        assert card.reserve == GIB
    assert devices["cpu"].held[0].weights == GIB
    first = devices["cuda:0"]
    assert first.memory_total is not None
    assert first.others == first.memory_total - 15 * GIB - HALF.total
    assert (first.power, first.utilization, first.temperature) == (300.0, 0.5, 60)
    assert devices["cpu"].utilization == 0.2
    assert first.pressure is None, "of the host's memory alone"
    assert devices["cpu"].pressure == "warn"


def test_what_a_load_took_beyond_its_plan_is_shown_too() -> None:
    (part,) = shown("rtx5090", None, on({FIRST: HALF}, more=200 * MIB))["cuda:0"].held

    assert part.weights + part.cache + part.other == HALF.total + 200 * MIB


def test_a_model_that_loads_has_its_part_and_one_that_failed_has_none() -> None:
    for state, parts in ((S.STARTING, 1), (S.DRAINING, 1), (S.FAILED, 0), (S.STOPPED, 0)):
        device = shown("rtx5090", None, on({FIRST: HALF}, state=state))["cuda:0"]

        assert len(device.held) == parts, state


def test_before_a_look_nobody_can_tell_what_is_free_and_what_others_have() -> None:
    for device in shown("rtx5090", None, on({FIRST: HALF})).values():
        assert (device.memory_free, device.others, device.temperature) == (None, None, None)
        assert device.pressure is None


def test_memory_that_two_share_is_not_taken_for_others_twice() -> None:
    model = on({METAL: HALF, CPU: REST})

    devices = shown("m3-ultra-512", seen({METAL: 400 * GIB}, available=400 * GIB), model)

    others = 512 * GIB - 400 * GIB - HALF.total - REST.total
    assert devices["metal:0"].others == devices["cpu"].others == others
    assert devices["metal:0"].pressure == "warn"
    assert devices["metal:0"].wired_limit is not None
    assert devices["metal:0"].wired_limit < 512 * GIB
    assert devices["metal:0"].reserve == 512 * GIB // 20


def test_a_device_that_is_lost_or_hot_says_why() -> None:
    hot, lost = {"cuda:0": "90 °C"}, {SECOND: "fell off the bus"}

    devices = shown("2xrtx5090", None, hot=hot, lost=lost)

    assert (devices["cuda:0"].throttled, devices["cuda:0"].lost) == ("90 °C", None)
    assert (devices["cuda:1"].throttled, devices["cuda:1"].lost) == (None, "fell off the bus")


def test_a_computer_is_called_by_its_processor_and_its_system() -> None:
    mac = describe_machine("m3-ultra-512", bundled_profiles()).host
    plain = describe_machine("rtx5090", bundled_profiles()).host

    assert render_host(replace(mac, os_version="26.1")) == "Apple M3 Ultra, macOS 26.1"
    assert render_host(replace(plain, os_version="6.8.0")) == "x86_64 processor, Linux"
    assert render_host(replace(plain, cpu="Ryzen", wsl=True)) == "Ryzen, Linux under WSL2"
