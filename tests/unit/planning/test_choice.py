"""Which engine, on what; and what is said where the processor would be the only way."""

from __future__ import annotations

import pytest

from localllm.engines.base import Installed
from localllm.errors import EngineUnusable
from localllm.hardware.machine import Device
from localllm.planning.choice import Choice, choose_engine
from tests.unit.planning.a_machine import (
    GIB,
    LLAMA_SERVER,
    METAL,
    XLLAMACPP,
    a_card,
    a_mac_gpu,
    a_machine,
    a_survey,
    an_engine,
    cuda,
    missing,
    vulkan,
)

CARD = a_card()
CPU_BUILD = an_engine(XLLAMACPP)
CUDA_SERVER = an_engine(LLAMA_SERVER, cuda())
NO_SERVER = missing(LLAMA_SERVER, "no llama-server on PATH")
NO_WHEEL = missing(XLLAMACPP, "the package xllamacpp is not installed")
AMD = vulkan(0, "AMD Radeon RX 7900 XTX")


def choose(
    devices: list[Device],
    engines: list[Installed],
    wanted: str | None = None,
    *,
    allow_cpu: bool = False,
) -> Choice:
    return choose_engine(a_survey(a_machine(*devices), *engines), wanted, allow_cpu=allow_cpu)


def said(choice: Choice) -> tuple[str, str | None, str | None]:
    return (
        choice.installed.engine,
        choice.devices[0].id if choice.devices else None,
        choice.seen[0].name if choice.seen else None,
    )


@pytest.mark.parametrize(
    ("devices", "engines", "wanted", "expected"),
    [
        ([], [CPU_BUILD, an_engine(LLAMA_SERVER)], None, (XLLAMACPP, None, None)),
        ([], [CPU_BUILD, an_engine(LLAMA_SERVER)], LLAMA_SERVER, (LLAMA_SERVER, None, None)),
        ([], [NO_WHEEL, an_engine(LLAMA_SERVER)], None, (LLAMA_SERVER, None, None)),
        ([CARD], [an_engine(XLLAMACPP, cuda()), CUDA_SERVER], None, (XLLAMACPP, "cuda:0", "CUDA0")),
        ([CARD], [CPU_BUILD, CUDA_SERVER], None, (LLAMA_SERVER, "cuda:0", "CUDA0")),
        ([CARD], [CPU_BUILD, an_engine(LLAMA_SERVER, vulkan(1, CARD.name))], None, (LLAMA_SERVER, "cuda:0", "Vulkan1")),
        ([CARD], [an_engine(XLLAMACPP, cuda()), CUDA_SERVER], LLAMA_SERVER, (LLAMA_SERVER, "cuda:0", "CUDA0")),
        ([a_mac_gpu()], [an_engine(XLLAMACPP, METAL), NO_SERVER], None, (XLLAMACPP, "metal:0", "MTL0")),
        ([], [CPU_BUILD, an_engine(LLAMA_SERVER, AMD)], None, (LLAMA_SERVER, "vulkan:0", "Vulkan0")),
    ],
    ids=[
        "no accelerator: the first engine",
        "no accelerator: the one that is wanted",
        "no accelerator: the one that is there",
        "both reach the card: the first",
        "one reaches the card: that one",
        "reached through Vulkan, under Vulkan's name",
        "both reach the card: the one that is wanted",
        "a Mac",
        "an accelerator that only an engine knows",
    ],
)  # fmt: skip
def test_the_engine_that_reaches_the_accelerator_is_chosen(
    devices: list[Device],
    engines: list[Installed],
    wanted: str | None,
    expected: tuple[str, str | None, str | None],
) -> None:
    assert said(choose(devices, engines, wanted)) == expected


def test_of_several_cards_all_may_be_used_those_with_most_usable_memory_first() -> None:
    cards = [a_card(0, memory_usable=4 * GIB), a_card(1), a_card(2, memory_usable=None)]

    choice = choose(cards, [an_engine(XLLAMACPP, cuda(0), cuda(1), cuda(2))])

    assert [d.id for d in choice.devices] == ["cuda:1", "cuda:0", "cuda:2"]
    assert [seen.name for seen in choice.seen] == ["CUDA1", "CUDA0", "CUDA2"]


def test_a_card_is_not_mixed_with_one_that_is_driven_in_another_way() -> None:
    radeon = vulkan(0, "AMD Radeon RX 7900 XTX")

    choice = choose([], [an_engine(LLAMA_SERVER, radeon, cuda(0))])

    assert len({d.kind for d in choice.devices}) == 1


@pytest.mark.parametrize("wanted", [None, XLLAMACPP])
def test_the_processor_is_used_beside_an_accelerator_if_the_user_says_so(
    wanted: str | None,
) -> None:
    engines = [CPU_BUILD, NO_SERVER]

    assert said(choose([CARD], engines, wanted, allow_cpu=True)) == (XLLAMACPP, None, None)


def refusal(
    devices: list[Device], engines: list[Installed], wanted: str | None = None
) -> EngineUnusable:
    with pytest.raises(EngineUnusable) as caught:
        choose(devices, engines, wanted)
    return caught.value


OLD_DRIVER = a_card(cuda_version="12.4")
UNTOLD = a_card(cuda_version=None)
INDEX = "https://xorbitsai.github.io/xllamacpp/whl"
OR_CPU = ", or localllm up --allow-cpu to run on the processor"
PIP = "pip install --force-reinstall --index-url"


@pytest.mark.parametrize(
    ("devices", "engines", "wanted", "why", "fix"),
    [
        (
            [CARD],
            [CPU_BUILD, NO_SERVER],
            None,
            "xllamacpp 1.0 sees the processor alone; llama-server: no llama-server on PATH",
            f"{PIP} {INDEX}/cu128 xllamacpp{OR_CPU}",
        ),
        (
            [a_card(cuda_version="13.2")],
            [CPU_BUILD],
            None,
            "xllamacpp 1.0 sees the processor alone",
            f"{PIP} {INDEX}/cu132 xllamacpp{OR_CPU}",
        ),
        (
            [OLD_DRIVER],
            [CPU_BUILD],
            None,
            "xllamacpp 1.0 sees the processor alone",
            f"update the NVIDIA driver (it offers 12.4, engines need 12.8){OR_CPU}",
        ),
        (
            [UNTOLD],
            [CPU_BUILD],
            None,
            "xllamacpp 1.0 sees the processor alone",
            f"update the NVIDIA driver (it offers an unknown CUDA, engines need 12.8){OR_CPU}",
        ),
        (
            [CARD],
            [CPU_BUILD, CUDA_SERVER],
            XLLAMACPP,
            "xllamacpp 1.0 sees the processor alone",
            f"localllm up --engine llama-server{OR_CPU}",
        ),
        (
            [CARD],
            [CPU_BUILD, an_engine(LLAMA_SERVER, vulkan(), version=None)],
            None,
            "xllamacpp 1.0 sees the processor alone; llama-server sees llvmpipe (LLVM 15.0.6)",
            f"{PIP} {INDEX}/cu128 xllamacpp{OR_CPU}",
        ),
        (
            [a_mac_gpu()],
            [CPU_BUILD],
            None,
            "xllamacpp 1.0 sees the processor alone",
            f"put a llama-server that is built for it on PATH{OR_CPU}",
        ),
    ],
    ids=[
        "a build for the processor alone",
        "a newer CUDA gets the newer build",
        "an old driver",
        "a driver that tells no CUDA version",
        "the wanted engine cannot, another can",
        "a software Vulkan device is no way to use the card",
        "a Mac",
    ],
)
def test_a_card_that_no_engine_reaches_is_an_error_and_never_the_processor_by_stealth(
    devices: list[Device],
    engines: list[Installed],
    wanted: str | None,
    why: str,
    fix: str,
) -> None:
    error = refusal(devices, engines, wanted)

    assert error.what == f"{devices[0].name} is here, but no engine that is installed can use it."
    assert (error.why, error.fix, error.exit_code) == (why, fix, 7)


def test_an_unknown_engine_is_named_with_those_that_are_known() -> None:
    error = refusal([], [CPU_BUILD, NO_SERVER], "vllm")

    assert error.what == "There is no engine 'vllm'."
    assert error.why == "this version knows xllamacpp, llama-server"
    assert error.fix == "localllm up --engine xllamacpp"


@pytest.mark.parametrize(
    ("wanted", "what", "why"),
    [
        (
            None,
            "No engine can be used.",
            "xllamacpp: the package xllamacpp is not installed; "
            "llama-server: no llama-server on PATH",
        ),
        (
            LLAMA_SERVER,
            "llama-server cannot be used.",
            "llama-server: no llama-server on PATH",
        ),
    ],
)
def test_without_an_engine_each_ones_reason_is_given(
    wanted: str | None, what: str, why: str
) -> None:
    error = refusal([CARD], [NO_WHEEL, NO_SERVER], wanted)

    assert (error.what, error.why) == (what, why)
    assert error.fix.startswith("pip install xllamacpp")


def test_allowing_the_processor_is_no_way_around_an_engine_that_is_not_there() -> None:
    with pytest.raises(EngineUnusable, match="llama-server cannot be used"):
        choose([CARD], [CPU_BUILD, NO_SERVER], LLAMA_SERVER, allow_cpu=True)
