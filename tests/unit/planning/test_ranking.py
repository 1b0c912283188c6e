"""Which of several plans is taken, and what each other one lacks."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from localllm.catalog.ladder import Advice
from localllm.events import DeviceId
from localllm.fit.decide import plan
from localllm.fit.plan import Budget, Plan, Verdict, Wish
from localllm.fit.speed import Speed
from localllm.planning.ranking import (
    Contender,
    Need,
    cannot_be_beaten,
    choose,
    is_useful,
)
from tests.unit.fit.a_header import GIB, smollm2

NEED = Need(context=16_384, least_context=2048, least_tps=5)
PLAN = plan(smollm2(), [Budget(DeviceId("cpu"), "host", 8 * GIB, None, is_host=True)], Wish())
SPEED = Speed(50, 40, decode_low_tps=None, decode_high_tps=None)


def planned(context: int = 32_768, verdict: Verdict = Verdict.FITS, tps: float | None = 50) -> Plan:
    speed = None if tps is None else replace(SPEED, decode_tps=tps)
    return replace(PLAN, context=context, verdict=verdict, speed=speed)


def a_contender(model: str = "qwen", quant: str = "Q6_K", **more: Any) -> Contender:
    known: dict[str, Any] = {
        "size_bytes": 5 * GIB,
        "plan": planned(),
        "rung": 5,
        "parameters": 8_000_000_000,
        "advice": Advice.PREFER,
        "most_context": 32_768,
    }
    return Contender(model, quant, **{**known, **more})


BEST = a_contender()
TOO_BIG = planned(2048, Verdict.TOO_BIG)
"""What a plan is like that does not fit."""


@pytest.mark.parametrize(
    ("other", "lacks"),
    [
        (a_contender(plan=None), "its numbers are not known yet"),
        (a_contender(plan=TOO_BIG), "does not fit"),
        (
            a_contender(quant="Q2_K", advice=Advice.ON_REQUEST),
            "loses too much to be chosen unasked",
        ),
        (a_contender(quant="4bit", no_engine="no engine reads MLX"), "no engine reads MLX"),
        (
            a_contender(plan=planned(1024)),
            "has room for 1024 tokens only, 2048 are the least",
        ),
        (a_contender(plan=planned(tps=3.26)), "gives 3.3 tokens/s, 5 are the least"),
        (
            a_contender(plan=planned(verdict=Verdict.FITS_PARTLY)),
            "leaves a part on the processor",
        ),
        (a_contender(plan=planned(8192)), "has room for 8192 tokens, 16384 are wanted"),
        (
            a_contender(quant="F16", rung=1, advice=Advice.IF_ROOM, plan=planned(20_000)),
            "takes the room of 12768 tokens for a difference that nobody sees",
        ),
        (a_contender(quant="Q4_K_M", rung=9), "is below Q6_K on the ladder"),
        (a_contender(quant="UD-Q6_K_XL", size_bytes=6 * GIB), "takes 1.0 GiB more for the same"),
        (a_contender(quant="q6_k_l"), "is no better"),
        (a_contender("gemma", parameters=4_000_000_000), "is smaller than qwen"),
        (a_contender("gemma", parameters=None), "does not tell its size"),
        (a_contender("gemma", quant="Q4_K_M", rung=9), "is below Q6_K on the ladder"),
    ],
)
def test_each_one_that_is_not_taken_is_told_what_it_lacks(other: Contender, lacks: str) -> None:
    chosen = choose([other, BEST], NEED)

    assert (chosen.index, chosen.lacks) == (1, (lacks, ""))


@pytest.mark.parametrize(
    ("best", "other", "lacks"),
    [
        ({"rank": 0}, {"rank": 1, "score": 99}, "comes after qwen in your ranking"),
        ({"rank": 0}, {"score": 99}, "comes after qwen in your ranking"),
        ({"score": 41.5}, {"parameters": 9e12}, "publishes no score to hold against qwen"),
        ({"score": 41.5}, {"score": 40.0, "parameters": 9e12}, "scores 40, qwen 41.5"),
    ],
)
def test_the_users_ranking_comes_before_scores_and_scores_before_size(
    best: dict[str, Any], other: dict[str, Any], lacks: str
) -> None:
    contenders = [a_contender("gemma", **other), a_contender("qwen", **best)]

    chosen = choose(contenders, NEED)

    assert (chosen.index, chosen.lacks[0]) == (1, lacks)


def test_a_lower_rung_that_was_measured_is_told_with_both_figures() -> None:
    measured = [a_contender(kld=0.0055), a_contender(quant="Q4_K_M", rung=9, kld=0.0282)]

    assert choose(measured, NEED).lacks[1] == (
        "strays further from the unquantized model (KL divergence 0.0282, 0.0055)"
    )


def test_a_floor_that_is_no_whole_number_is_not_rounded() -> None:
    slow = a_contender(plan=planned(tps=4.2))

    lacks = choose([BEST, slow], replace(NEED, least_tps=4.4)).lacks

    assert lacks[1] == "gives 4.2 tokens/s, 4.4 are the least"


def test_the_order_in_which_they_come_does_not_matter() -> None:
    contenders = [
        a_contender(model, quant, rung=rung, plan=planned(context, tps=tps))
        for model in ("gemma", "qwen")
        for quant, rung in (("Q8_0", 3), ("Q6_K", 5), ("Q4_K_M", 9))
        for context, tps in ((32_768, 50), (8192, 80), (32_768, None))
    ]
    picks = []
    for seed in range(20):
        random.Random(seed).shuffle(contenders)
        index = choose(contenders, NEED).index
        assert index is not None
        picks.append((contenders[index].model, contenders[index].quant))

    assert set(picks) == {("gemma", "Q8_0")}


def test_nothing_that_fits_is_no_choice_and_each_says_why() -> None:
    chosen = choose([a_contender(plan=None), a_contender(plan=TOO_BIG)], NEED)

    assert chosen.index is None
    assert chosen.lacks == ("its numbers are not known yet", "does not fit")


def test_what_no_engine_runs_or_nobody_asked_for_is_not_said_not_to_fit() -> None:
    others = [a_contender(no_engine="no engine"), a_contender(advice=Advice.ON_REQUEST)]

    chosen = choose(others, NEED)

    assert (chosen.index, chosen.lacks) == (
        None,
        ("no engine", "loses too much to be chosen unasked"),
    )


def test_what_fits_but_is_of_no_use_is_taken_where_there_is_nothing_else() -> None:
    assert choose([a_contender(plan=planned(1024)), a_contender(plan=TOO_BIG)], NEED).index == 0


def test_only_what_was_asked_for_may_lose_much() -> None:
    assert choose([a_contender(advice=Advice.ON_REQUEST)], NEED).index is None
    assert choose([a_contender(advice=None)], NEED).index == 0


def test_more_bits_than_anyone_notices_are_taken_where_they_cost_no_context() -> None:
    roomy = a_contender(quant="F16", rung=1, advice=Advice.IF_ROOM)

    assert choose([BEST, roomy], NEED).index == 1
    assert choose([BEST, replace(roomy, plan=planned(32_512))], NEED).index == 0


def test_a_speed_that_nobody_can_predict_is_not_held_against_a_model() -> None:
    assert is_useful(a_contender(plan=planned(tps=None)), NEED)


@pytest.mark.parametrize(
    ("contender", "expected"),
    [
        (BEST, True),
        (a_contender(plan=planned(4096), most_context=4096), True),
        (a_contender(plan=planned(8192)), False),
        (a_contender(plan=planned(verdict=Verdict.FITS_PARTLY)), False),
        (a_contender(plan=planned(tps=4)), False),
        (a_contender(plan=None), False),
        (a_contender(plan=planned(20_000), advice=Advice.IF_ROOM), False),
        (a_contender(advice=Advice.ON_REQUEST), False),
    ],
    ids=[
        "all that counts",
        "all the context that it was trained with",
        "too little context",
        "partly on the host",
        "slow",
        "unknown",
        "costs context",
        "on request",
    ],
)
def test_what_has_all_that_counts_ends_the_search(contender: Contender, expected: bool) -> None:
    assert cannot_be_beaten(contender, NEED) is expected


def test_nothing_after_what_cannot_be_beaten_is_ever_chosen_instead() -> None:
    """Of one model, with the best quality first: what `best_of` relies on."""
    later = [
        a_contender(quant="Q4_K_M", rung=9, plan=planned(context, verdict, tps))
        for context in (1024, 16_384, 32_768)
        for verdict in Verdict
        for tps in (None, 1, 500)
    ]

    assert choose([BEST, *later], NEED).index == 0
