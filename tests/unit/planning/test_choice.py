"""Which engine, on what; and what is said where the processor would be the only way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.engines.base import Installed
from localllm.errors import EngineUnusable
from localllm.formats.header import Format
from localllm.hardware.graphics import Graphics
from localllm.hardware.machine import Device
from localllm.planning.choice import Choice, Wanted, choose_engine
from localllm.planning.survey import Survey
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
    survey = a_survey(a_machine(*devices), *engines)
    return choose_engine(survey, Wanted(wanted, allow_cpu=allow_cpu))


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


OR_CPU = ", or localllm up --allow-cpu to run on the processor"
FETCH = f"localllm engine install, which fetches one that does{OR_CPU}"
ALONE = "xllamacpp 1.0 sees the processor alone"
BROKEN = replace(an_engine(LLAMA_SERVER), hint="the NVIDIA driver is older than this build needs")


@pytest.mark.parametrize(
    ("devices", "engines", "wanted", "why", "fix"),
    [
        ([CARD], [CPU_BUILD, NO_SERVER], None, ALONE, FETCH),
        ([CARD], [CPU_BUILD, CUDA_SERVER], XLLAMACPP, ALONE, f"localllm up --engine llama-server{OR_CPU}"),
        ([CARD], [CPU_BUILD, an_engine(LLAMA_SERVER, vulkan(), version=None)], None, f"{ALONE}; llama-server sees llvmpipe (LLVM 15.0.6)", FETCH),
        ([a_mac_gpu()], [CPU_BUILD], None, ALONE, FETCH),
        ([CARD], [BROKEN], None, "llama-server 1.0 sees the processor alone (the NVIDIA driver is older than this build needs)", FETCH),
    ],
    ids=[
        "a build for the processor alone",
        "the wanted engine cannot, another can",
        "a software Vulkan device is no way to use the card",
        "a Mac",
        "a build that says why it sees no card",
    ],
)  # fmt: skip
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
    assert error.fix.startswith("localllm engine install")


def test_allowing_the_processor_is_no_way_around_an_engine_that_is_not_there() -> None:
    with pytest.raises(EngineUnusable, match="llama-server cannot be used"):
        choose([CARD], [CPU_BUILD, NO_SERVER], LLAMA_SERVER, allow_cpu=True)


def test_the_makers_own_way_to_drive_a_card_goes_before_a_general_one() -> None:
    through_vulkan = an_engine(XLLAMACPP, vulkan(0, CARD.name))

    assert said(choose([CARD], [through_vulkan, CUDA_SERVER])) == (LLAMA_SERVER, "cuda:0", "CUDA0")


@pytest.mark.parametrize(
    ("speeds", "expected"),
    [({}, XLLAMACPP), ({XLLAMACPP: 80.0, LLAMA_SERVER: 95.0}, LLAMA_SERVER)],
    ids=["nothing is known: the first", "the bench found the second quicker"],
)
@pytest.mark.parametrize("on_card", [True, False])
def test_of_engines_that_can_do_the_same_the_quicker_one_is_chosen(
    speeds: dict[str, float], expected: str, on_card: bool
) -> None:
    devices, seen = ([CARD], [cuda()]) if on_card else ([], [])
    survey = a_survey(
        a_machine(*devices), an_engine(XLLAMACPP, *seen), an_engine(LLAMA_SERVER, *seen)
    )

    choice = choose_engine(survey, Wanted(speeds=speeds))

    assert choice.installed.engine == expected


AMD_CARD = Graphics("amd", "744c", "0000:03:00.0", 24 * GIB, discrete=True)
INTEGRATED = Graphics("intel", "a780", "0000:00:02.0")


def with_graphics(card: Graphics, *engines: Installed) -> Survey:
    return a_survey(replace(a_machine(), graphics=(card,)), *engines)


def test_a_card_that_only_an_engine_could_drive_is_never_left_for_the_processor_by_stealth() -> (
    None
):
    survey = with_graphics(AMD_CARD, CPU_BUILD)

    with pytest.raises(EngineUnusable, match="AMD graphics 744c is here") as caught:
        choose_engine(survey, Wanted())

    assert "localllm engine install" in caught.value.fix
    assert "AMD graphics 744c is here" in survey.machine.warnings[0]
    assert choose_engine(survey, Wanted(allow_cpu=True)).devices == ()


def test_a_card_whose_driver_does_not_answer_is_told_with_the_drivers_cure() -> None:
    survey = with_graphics(Graphics("nvidia", "2b85", discrete=True), CPU_BUILD)

    with pytest.raises(EngineUnusable, match="NVIDIA graphics 2b85 is here") as caught:
        choose_engine(survey, Wanted())

    assert type(caught.value) is EngineUnusable, "no build could cure it"
    assert "install the NVIDIA driver" in caught.value.fix
    assert "does not answer" in survey.machine.warnings[0]


def test_an_integrated_graphics_unit_is_no_reason_to_refuse_the_processor() -> None:
    assert choose_engine(with_graphics(INTEGRATED, CPU_BUILD), Wanted()).devices == ()


def test_a_card_that_an_engine_lists_is_one_of_the_machines_devices() -> None:
    survey = with_graphics(AMD_CARD, an_engine(LLAMA_SERVER, AMD))

    assert said(choose_engine(survey, Wanted())) == (LLAMA_SERVER, "vulkan:0", "Vulkan0")
    assert survey.machine.warnings == ()


MLX = replace(an_engine("mlx"), formats=frozenset({Format.MLX}))


def test_a_models_format_decides_which_engines_count() -> None:
    survey = a_survey(a_machine(), CPU_BUILD, MLX)

    assert choose_engine(survey, Wanted(format=Format.MLX)).installed.engine == "mlx"
    assert choose_engine(survey, Wanted(format=Format.GGUF)).installed.engine == XLLAMACPP
    with pytest.raises(EngineUnusable, match="xllamacpp does not serve mlx models") as caught:
        choose_engine(survey, Wanted(XLLAMACPP, Format.MLX))
    assert "mlx" in caught.value.fix
