"""What a person sees of a plan: in wide terminals and narrow ones, in colour and without."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import click
import pytest
from msgspec.structs import replace

from localllm.api.views import (
    CandidateView,
    DeviceView,
    ExplainedView,
    FirstTokenView,
    MemoryView,
    ModelView,
    PlacementView,
    PlanView,
    PredictedSpeedView,
    ProbeView,
    RangeView,
    SourceView,
)
from localllm.cli.bars import Look
from localllm.cli.render_plan import render_plan
from tests.unit.cli.test_render import CARD, CPU, a_host

MIB, GIB = 1 << 20, 1 << 30
PLAIN = Look(color=False)
NO_SPEED = PredictedSpeedView(
    decode_tps=None,
    decode_tps_full=None,
    prefill_tps=None,
    decode_range=None,
    prefill_range=None,
    first_token=None,
)
PREDICTED = PredictedSpeedView(
    decode_tps=44.0,
    decode_tps_full=32.0,
    prefill_tps=2000.0,
    decode_range=RangeView(low=38.2, high=51.6),
    prefill_range=None,
    first_token=FirstTokenView(prompt_tokens=20_000, cold=7.41, cached=0.031),
)
MEASURED = PredictedSpeedView(
    decode_tps=41.7,
    decode_tps_full=30.0,
    prefill_tps=2000.0,
    decode_range=None,
    prefill_range=None,
    first_token=None,
    source="measured",
)


def a_memory(**mib: int) -> MemoryView:
    in_bytes = {name: mib.get(name, 0) * MIB for name in MemoryView.__struct_fields__}
    total = sum(in_bytes.values()) - in_bytes["host_cache"]
    return MemoryView(**{**in_bytes, "total": total})


def a_placement(device: str, layers: int, **mib: int) -> PlacementView:
    memory = a_memory(**mib)
    return PlacementView(device=device, layers=layers, bytes=memory.total, memory=memory)


ON_CARD = (
    a_placement("cuda:0", 33, weights=8192, kv_cache=4096, compute=1024),
    a_placement("cpu", 0, weights=512),
)


def a_candidate(
    quant: str | None, placement: Sequence[PlacementView] = ON_CARD, **more: Any
) -> CandidateView:
    fields = MemoryView.__struct_fields__
    memory = MemoryView(**{f: sum(getattr(p.memory, f) for p in placement) for f in fields})
    plain: dict[str, Any] = {
        "model": "m-27b",
        "quant": quant,
        "format": "gguf",
        "engine": "xllamacpp",
        "source": SourceView(repo=None, files=[], size=None),
        "context": 16_384,
        "parallel": 4,
        "kv_type": "f16",
        "micro_batch": 512,
        "experts_on_host": 0,
        "placement": list(placement),
        "memory": memory,
        "memory_from": "formula",
        "header": "catalog",
        "on_disk": False,
        "speed": PREDICTED,
        "quality": 0.0282,
        "quality_source": None,
        "verdict": "fits",
        "reason": "13.0 GiB of 19.0 GiB on the card: weights 8.0 GiB.",
        "lacks": None,
        "explanation": [],
    }
    return CandidateView(**{**plain, **more})


def too_big(quant: str, gib: int) -> CandidateView:
    return a_candidate(
        quant,
        [a_placement("cuda:0", 33, weights=gib * 1024)],
        verdict="too_big",
        speed=NO_SPEED,
        reason=f"{gib}.0 GiB are needed on the card, 19.0 GiB can be used: weights {gib}.0 GiB.",
        lacks="does not fit",
    )


def unknown(quant: str) -> CandidateView:
    return a_candidate(
        quant,
        [],
        memory=None,
        context=None,
        parallel=None,
        kv_type=None,
        speed=NO_SPEED,
        quality=None,
        verdict=None,
        reason="the catalog does not know its size; its header has to be read first",
        lacks="its numbers are not known yet",
    )


def a_plan(*candidates: CandidateView, **more: Any) -> PlanView:
    plain: dict[str, Any] = {
        "hardware": ProbeView(host=a_host(), devices=[CARD, CPU], warnings=[]),
        "model": None,
        "use": "chat",
        "choice": 0,
        "candidates": list(candidates),
        "why": "m-27b Q4_K_M is the best of 2.",
        "advice": None,
    }
    return PlanView(**{**plain, **more})


def shown(view: PlanView, width: int = 200, look: Look = PLAIN) -> str:
    return "\n".join(render_plan(view, width=width, look=look))


def others(*candidates: CandidateView) -> list[str]:
    """What is said of all but the chosen one, in a terminal that breaks no line."""
    lines = render_plan(a_plan(a_candidate("Q4_K_M"), *candidates), width=1000, look=PLAIN)
    return [line.strip() for line in lines[lines.index("", -len(candidates) - 1) + 1 :]]


A_PLAN = """\
on NVIDIA GeForce RTX 4090 (19.0 GiB usable), AMD EPYC (57.0 GiB usable)

   model  quant   context  KV   slots  memory                     device    host     weights   KV cache  speed           quality  verdict
*  m-27b  Q4_K_M    16384  f16      4  ██████████▓▓▓▓▓▒········   13.0 GiB  512 MiB   8.5 GiB   4.0 GiB  38 to 52 tok/s   0.0282  fits
   m-27b  Q8_0      16384  f16      4  ████████████████████████!  26.0 GiB  -        26.0 GiB     0 MiB  -                0.0282  too big

█ weights  ▓ KV cache  ▒ buffers  · free  ! too big

m-27b Q4_K_M is the best of 2.
* m-27b Q4_K_M: 13.0 GiB of 19.0 GiB on the card: weights 8.0 GiB.

  m-27b Q8_0: 26.0 GiB are needed on the card, 19.0 GiB can be used: weights 26.0 GiB."""


def test_a_plan_is_the_machine_a_table_with_the_choice_starred_and_the_reasons() -> None:
    assert shown(a_plan(a_candidate("Q4_K_M"), too_big("Q8_0", 26))) == A_PLAN


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (200, "model quant context KV slots memory device host weights KV cache speed quality"),
        (115, "model quant context KV slots memory device host speed"),
        (78, "model quant context memory device speed"),
        (70, "model quant context device speed"),
        (55, "model quant context device"),
        (30, "model quant"),
        (5, "model quant"),
    ],
)
def test_a_narrow_terminal_loses_columns_the_least_needed_first(width: int, titles: str) -> None:
    lines = render_plan(a_plan(a_candidate("Q4_K_M"), too_big("Q8_0", 26)), width=width, look=PLAIN)
    [head] = [line for line in lines if line.lstrip().startswith("model")]
    [star] = [line for line in lines if line.startswith("*") and line.endswith("fits")]

    assert " ".join(head.split()) == f"{titles} verdict"
    assert max(map(len, lines)) <= max(width, 40)
    assert star.split()[:3] == ["*", "m-27b", "Q4_K_M"]


def test_the_legend_goes_with_the_bars() -> None:
    assert "· free" in shown(a_plan(a_candidate("Q4_K_M")), width=78)
    assert "· free" not in shown(a_plan(a_candidate("Q4_K_M")), width=60)


def test_colours_change_no_line_and_are_beside_words() -> None:
    view = a_plan(a_candidate("Q4_K_M"), too_big("Q8_0", 26))

    colored = shown(view, look=Look(color=True))

    assert click.unstyle(colored) == shown(view)
    assert click.style("too big", fg="red") in colored
    assert "\x1b" not in shown(view)


def test_a_terminal_without_block_characters_gets_only_what_it_has() -> None:
    view = a_plan(a_candidate("Q4_K_M"), too_big("Q8_0", 26), unknown("Q6_K"))

    assert shown(view, look=Look(color=False, blocks=False)).isascii()


def test_a_speed_is_a_range_until_it_is_measured_and_a_dash_where_nobody_can_tell() -> None:
    def speed_of(told: PredictedSpeedView) -> str:
        row = shown(a_plan(a_candidate("Q4_K_M", speed=told))).splitlines()[3]
        return row.split("GiB  ")[-1].split("  ")[0].strip()

    assert (speed_of(PREDICTED), speed_of(MEASURED)) == ("38 to 52 tok/s", "42 tok/s")
    assert speed_of(NO_SPEED) == "-"


def test_without_a_choice_none_is_starred_and_there_is_advice() -> None:
    view = a_plan(too_big("Q8_0", 26), choice=None, why=None, advice="Take a larger card.")

    lines = render_plan(view, width=200, look=PLAIN)

    assert not any(line.startswith("*") for line in lines)
    assert lines[-3].endswith("19.0 GiB can be used: weights 26.0 GiB.")
    assert lines[-2:] == ["", "Take a larger card."]
    assert ("", "") not in list(pairwise(lines))


def test_where_no_model_is_meant_for_a_use_that_is_said() -> None:
    assert shown(a_plan(choice=None, why=None)) == "no model of the catalog is meant for this use"


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        (
            [a_candidate(q, lacks="loses too much to be chosen unasked") for q in ("Q2_K", "Q3_K")],
            "loses too much to be chosen unasked: m-27b Q2_K, m-27b Q3_K.",
        ),
        (
            [a_candidate(q, lacks="is below Q4_K_M on the ladder") for q in ("Q2_K", None)],
            "is below Q4_K_M on the ladder: m-27b Q2_K, m-27b.",
        ),
        (
            [
                a_candidate("Q8_0", model="b-7b", lacks="scores 71.5, m-27b 86"),
                a_candidate("Q8_0", model="c-9b", lacks="scores 84, m-27b 86"),
            ],
            "scores N, m-27b 86, N being: b-7b Q8_0 71.5, c-9b Q8_0 84.",
        ),
        (
            [too_big("Q8_0", 26), too_big("Q6_K", 21)],
            "N are needed on the card, 19.0 GiB can be used, N being: "
            "m-27b Q8_0 26.0 GiB, m-27b Q6_K 21.0 GiB.",
        ),
        (
            [unknown("Q8_0"), unknown("Q6_K")],
            "the catalog does not know its size; its header has to be read first: "
            "m-27b Q8_0, m-27b Q6_K.",
        ),
        ([a_candidate("Q5_K_M", lacks="is no better")], "m-27b Q5_K_M is no better."),
        (
            [unknown("Q8_0")],
            "m-27b Q8_0: the catalog does not know its size; its header has to be read first",
        ),
    ],
)
def test_what_is_said_of_many_alike_is_said_once_with_each_ones_own_figure(
    candidates: Sequence[CandidateView], said: str
) -> None:
    assert others(*candidates) == [said]


def test_reasons_that_differ_in_more_than_a_figure_stay_apart() -> None:
    first = a_candidate("Q8_0", lacks="has room for 8192 tokens, 16384 are wanted")
    second = a_candidate("Q6_K", lacks="has room for 8192 tokens only, 2048 are the least")

    assert len(others(first, second)) == 2


def test_the_quantizations_of_one_model_are_called_by_their_own_names_alone() -> None:
    model = ModelView(
        id="m-27b", name="M", architecture="llama", parameters=27, context_trained=None
    )

    text = shown(a_plan(a_candidate("Q4_K_M"), too_big("Q8_0", 26), model=model))

    assert text.startswith("m-27b on NVIDIA GeForce RTX 4090 (19.0 GiB usable), ")
    assert "\n   quant " in text
    assert "\n* Q4_K_M: 13.0 GiB of" in text
    assert "\n  Q8_0: 26.0 GiB are needed" in text


def a_machine(*devices: DeviceView) -> ProbeView:
    return ProbeView(host=a_host(), devices=list(devices), warnings=["It is warm."])


def test_cards_that_are_alike_are_counted_and_the_notes_follow() -> None:
    second = replace(CARD, id="cuda:1")

    lines = shown(a_plan(a_candidate("Q4_K_M"), hardware=a_machine(CARD, second, CPU))).splitlines()

    assert lines[:2] == [
        "on 2 x NVIDIA GeForce RTX 4090 (19.0 GiB usable each), AMD EPYC (57.0 GiB usable)",
        "note: It is warm.",
    ]


def test_a_chip_that_shares_its_memory_is_named_once() -> None:
    chip = replace(CARD, id="metal:0", kind="metal", name="Apple M4 Max", unified=True)
    placed = a_placement("metal:0", 33, weights=8192)

    text = shown(a_plan(a_candidate("Q4_K_M", [placed]), hardware=a_machine(chip, CPU)))

    assert text.startswith("on Apple M4 Max (19.0 GiB usable)\n")


def test_a_model_on_the_processor_has_one_figure_for_its_memory() -> None:
    placed = a_placement("cpu", 33, weights=8192)

    lines = shown(a_plan(a_candidate("Q4_K_M", [placed]))).splitlines()

    assert lines[0] == "on AMD EPYC (57.0 GiB usable)"
    assert "takes" in lines[2]
    assert "host" not in lines[2]


EXPLAINED = """\
m-27b Q4_K_M, number by number:
  cuda:0  KV cache  4.0 GiB  = 16 layers x 16384 cells
  cpu     weights   512 MiB  = the token table
  one stream: 44 tok/s at an empty cache, 32 at a full one (predicted)
  first token of a prompt of 20000: 7.4 s cold, 0.03 s from the cache"""


def test_an_explanation_is_each_number_with_its_formula_then_the_speeds() -> None:
    said = [
        ExplainedView(
            device="cuda:0", part="kv_cache", bytes=4 * GIB, formula="16 layers x 16384 cells"
        ),
        ExplainedView(device="cpu", part="weights", bytes=512 * MIB, formula="the token table"),
    ]
    view = a_plan(a_candidate("Q4_K_M", explanation=said))

    assert shown(view).endswith(EXPLAINED)
    narrow = render_plan(view, width=50, look=PLAIN)
    assert narrow[-8:-5] == ["  cuda:0  KV cache  4.0 GiB  =", "      16 layers x 16384 cells",
                             "  cpu     weights   512 MiB  ="]  # fmt: skip
