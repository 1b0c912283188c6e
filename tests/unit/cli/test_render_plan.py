"""What a person sees of a plan: in wide terminals and narrow ones, in colour and without."""

from __future__ import annotations

from itertools import pairwise

import click
import pytest
from msgspec.structs import replace

from localllm.api.views import DeviceView, ModelView, PredictedSpeedView, ProbeView, PromptsView
from localllm.cli.bars import Look
from localllm.cli.render_plan import render_plan
from tests.unit.cli.a_plan import (
    MEASURED,
    NO_SPEED,
    PLAIN,
    PREDICTED,
    a_candidate,
    a_memory,
    a_placement,
    a_plan,
    shown,
    too_big,
    unknown,
)
from tests.unit.cli.test_render import CARD, CPU, a_host

A_PLAN = """\
on NVIDIA GeForce RTX 4090 (19.0 GiB usable), AMD EPYC (57.0 GiB usable)

   model  quant   context  KV   slots  memory                    device    host     weights   KV cache  speed           quality  verdict
*  m-27b  Q4_K_M    16384  f16      4  ██████████▓▓▓▓▓▒········  13.0 GiB  512 MiB   8.5 GiB   4.0 GiB  38 to 52 tok/s   0.0282  fits
   m-27b  Q8_0      16384  f16      4  ███████████████████████!  26.0 GiB  -        26.0 GiB     0 MiB  -                0.0282  too big

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
        (114, "model quant context KV slots memory device host speed"),
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


def test_the_column_of_the_cache_counts_what_the_bar_counts() -> None:
    parts = {"weights": 8192, "kv_cache": 1024, "recurrent_state": 512, "checkpoints": 512}
    one = a_candidate("Q4_K_M", [a_placement("cuda:0", 33, **parts)])

    head, row = shown(a_plan(one)).splitlines()[2:4]

    at = head.index("KV cache")
    assert row[at : at + 8].strip() == "2.0 GiB"


def test_the_legend_goes_with_the_bars() -> None:
    assert "· free" in shown(a_plan(a_candidate("Q4_K_M")), width=78)
    assert "· free" not in shown(a_plan(a_candidate("Q4_K_M")), width=60)
    assert "· free" not in shown(a_plan(unknown("Q4_K_M"), choice=None, why=None))


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
    placed = [a_placement("metal:0", 33, weights=8192), a_placement("cpu", 0, weights=512)]

    text = shown(a_plan(a_candidate("Q4_K_M", placed), hardware=a_machine(chip, CPU)))

    assert text.startswith("on Apple M4 Max (19.0 GiB usable)\n")


def test_a_model_on_the_processor_has_one_figure_for_its_memory() -> None:
    placed = a_placement("cpu", 33, weights=8192)

    lines = shown(a_plan(a_candidate("Q4_K_M", [placed]))).splitlines()

    assert lines[0] == "on AMD EPYC (57.0 GiB usable)"
    assert "takes" in lines[2]
    assert "host" not in lines[2]


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        (PromptsView(kept="saved", why=None), "kept on disk; "),
        (
            PromptsView(kept="replayed", why="mlx saves nothing"),
            "read again in idle time, since mlx saves nothing; ",
        ),
        (PromptsView(kept="not", why="it is off"), "kept in memory alone, since it is off; "),
        (None, ""),
    ],
)
def test_of_the_choice_it_says_how_prompts_are_kept_and_what_memory_earlier_ones_may_take(
    prompts: PromptsView | None, said: str
) -> None:
    chosen = a_candidate("Q4_K_M", prompts=prompts, memory=a_memory(weights=8192, host_cache=720))

    lines = shown(a_plan(chosen, too_big("Q8_0", 26))).splitlines()

    [after] = [i for i, line in enumerate(lines) if line.startswith("* m-27b Q4_K_M: ")]
    assert lines[after + 1 : after + 3] == [
        f"  prompts: {said}720 MiB of memory are set aside for earlier ones",
        "",
    ]


def test_where_no_memory_is_left_for_earlier_prompts_none_is_said_to_be() -> None:
    chosen = a_candidate("Q4_K_M", prompts=PromptsView(kept="saved", why=None))

    assert "\n  prompts: kept on disk\n" in shown(a_plan(chosen, too_big("Q8_0", 26)))
