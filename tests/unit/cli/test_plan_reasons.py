"""Why a plan chose as it did, as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from localllm.api.views import CandidateView, ExplainedView
from localllm.cli.render_plan import render_plan
from tests.unit.cli.a_plan import GIB, MIB, PLAIN, a_candidate, a_plan, shown, too_big, unknown


def others(*candidates: CandidateView) -> list[str]:
    """What is said of all but the chosen one, in a terminal that breaks no line."""
    lines = render_plan(a_plan(a_candidate("Q4_K_M"), *candidates), width=1000, look=PLAIN)
    return [line.strip() for line in lines[lines.index("", -len(candidates) - 1) + 1 :]]


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
