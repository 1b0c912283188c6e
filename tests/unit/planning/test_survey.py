"""The drivers' devices and the engines', joined: one thing is one device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from localllm.engines.base import Endpoint, EngineDevice, Installed, LaunchSpec, Serving
from localllm.hardware.machine import CPU, Device, DeviceKind
from localllm.planning.survey import Survey, join, survey
from tests.unit.planning.a_machine import (
    GIB,
    LLAMA_SERVER,
    METAL,
    XLLAMACPP,
    a_card,
    a_mac_gpu,
    a_machine,
    an_engine,
    cuda,
    missing,
    vulkan,
)

CARD, TWIN = a_card(0), a_card(1)
TI = a_card(1, "NVIDIA GeForce RTX 4070 Ti")
PLAIN = a_card(0, "NVIDIA GeForce RTX 4070")


def reached(joined: Survey, engine: str = XLLAMACPP) -> dict[str, str]:
    return {device: seen.name for device, seen in joined.reach[engine].items()}


@pytest.mark.parametrize(
    ("devices", "listed", "pairs"),
    [
        ([CARD], [cuda()], {"cuda:0": "CUDA0"}),
        ([CARD], [cuda(0, "a name of CUDA's own")], {"cuda:0": "CUDA0"}),
        ([CARD, TWIN], [cuda(0), cuda(1)], {"cuda:0": "CUDA0", "cuda:1": "CUDA1"}),
        ([CARD], [vulkan(0, "NVIDIA GeForce RTX 4090")], {"cuda:0": "Vulkan0"}),
        ([CARD, TWIN], [vulkan(0, CARD.name), vulkan(1, CARD.name)], {"cuda:0": "Vulkan0", "cuda:1": "Vulkan1"}),
        ([PLAIN, TI], [vulkan(0, TI.name), vulkan(1, PLAIN.name)], {"cuda:1": "Vulkan0", "cuda:0": "Vulkan1"}),
        ([CARD], [vulkan(0), vulkan(1, CARD.name)], {"cuda:0": "Vulkan1", "vulkan:0": "Vulkan0"}),
        ([CARD], [cuda(), vulkan(0, CARD.name)], {"cuda:0": "CUDA0"}),
        ([CARD], [], {}),
        ([a_mac_gpu()], [METAL], {"metal:0": "MTL0"}),
        ([], [vulkan()], {"vulkan:0": "Vulkan0"}),
        ([], [vulkan(0), vulkan(1)], {"vulkan:0": "Vulkan0", "vulkan:1": "Vulkan1"}),
        ([], [cuda(0), cuda(1)], {"cuda:0": "CUDA0", "cuda:1": "CUDA1"}),
        ([], [], {}),
    ],
    ids=[
        "a card by its kind",
        "whatever CUDA calls it",
        "two equal cards in order",
        "a card seen through Vulkan, by name",
        "two equal cards through Vulkan",
        "a name that begins another",
        "a software device beside a card",
        "a card through two backends of one build",
        "a card that the engine cannot use",
        "a Mac",
        "a software device that only the engine knows",
        "two of them",
        "cards that no driver told of",
        "nothing",
    ],
)  # fmt: skip
def test_each_of_an_engines_devices_is_one_of_the_machines(
    devices: list[Device], listed: list[EngineDevice], pairs: dict[str, str]
) -> None:
    joined = join(a_machine(*devices), [an_engine(XLLAMACPP, *listed)])

    assert reached(joined) == pairs
    assert {d.id for d in joined.machine.devices} == {d.id for d in devices} | {*pairs, CPU}
    assert joined.machine.devices[-1].id == CPU


def test_a_device_that_only_an_engine_knows_says_so_and_keeps_a_tenth() -> None:
    joined = join(a_machine(), [an_engine(LLAMA_SERVER, vulkan())])

    device = joined.machine.devices[0]
    assert (device.kind, device.name) == (DeviceKind.VULKAN, "llvmpipe (LLVM 15.0.6)")
    assert device.source == "llama-server's own device list"
    assert device.memory_total == 2 * GIB
    assert device.memory_usable == 2 * GIB - 2 * GIB // 10
    assert (device.bandwidth, device.uuid) == (None, None)


def test_of_a_device_that_tells_no_memory_none_may_be_used_and_none_is_invented() -> None:
    silent = EngineDevice("Vulkan0", DeviceKind.VULKAN, "something")

    device = join(a_machine(), [an_engine(XLLAMACPP, silent)]).machine.devices[0]

    assert (device.memory_total, device.memory_free, device.memory_usable) == (None, None, None)


def test_what_the_driver_told_stays_as_it_was() -> None:
    joined = join(a_machine(CARD), [an_engine(XLLAMACPP, cuda())])

    assert joined.machine == a_machine(CARD)


def test_two_engines_that_list_one_device_share_it() -> None:
    engines = [an_engine(XLLAMACPP, vulkan()), an_engine(LLAMA_SERVER, vulkan())]

    joined = join(a_machine(), engines)

    assert [d.id for d in joined.machine.devices] == ["vulkan:0", CPU]
    assert reached(joined, XLLAMACPP) == reached(joined, LLAMA_SERVER) == {"vulkan:0": "Vulkan0"}


def test_an_engine_that_is_not_to_be_had_reaches_nothing_and_is_still_told_of() -> None:
    joined = join(a_machine(CARD), [missing(XLLAMACPP, "not installed")])

    assert reached(joined) == {}
    assert joined.engines == (missing(XLLAMACPP, "not installed"),)


@dataclass
class Listening:
    """An engine that remembers in which environment it was asked."""

    environment: Mapping[str, str]
    name: str = field(default=XLLAMACPP)

    def find(self) -> Installed:
        text = "{CUDA_DEVICE_ORDER} {CUDA_VISIBLE_DEVICES} {HOME}".format_map(self.environment)
        return an_engine(self.name, version=text)

    def launch(self, found: Installed, serving: Serving, endpoint: Endpoint) -> LaunchSpec:
        raise AssertionError("a survey starts nothing")


def test_engines_are_asked_with_the_cards_by_uuid_in_the_probes_order() -> None:
    def engines(environment: Mapping[str, str]) -> Sequence[Listening]:
        return (Listening(environment),)

    asked = survey(a_machine(CARD, TWIN), engines, {"HOME": "/me", "CUDA_VISIBLE_DEVICES": "1,0"})

    assert asked.engines[0].version == "PCI_BUS_ID GPU-0,GPU-1 /me"
