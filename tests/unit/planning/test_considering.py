"""Every offer planned for a machine, the best of each model, and what it would take where none is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from localllm.catalog.facts import Score, Use
from localllm.catalog.ladder import Advice, read_ladder
from localllm.catalog.profile import Profile
from localllm.catalog.repositories import Draft, DraftKind
from localllm.events import DeviceId
from localllm.fit.outline import rescaled
from localllm.fit.plan import Budget, Verdict, Wish
from localllm.formats.header import Format
from localllm.paths import bundled_profiles
from localllm.planning.considering import Considered, Judge, advice, best_of
from localllm.planning.offers import Offer, Told
from localllm.planning.ranking import Contender
from localllm.planning.uses import NEEDS
from tests.unit.fit.a_header import GIB, MIB, llama_8b, with_keys

LADDER = read_ladder(bundled_profiles())
WISH = Wish(exact=False)
SIZES = {"F16": 16, "Q8_0": 8, "Q6_K": 6, "Q4_K_M": 5, "Q3_K_M": 4, "Q2_K": 3}
"""Of an 8B model, in GiB; the best first."""


def judging(use: Use = Use.CHAT, **more: Any) -> Judge:
    return Judge(use, NEEDS[use], LADDER, **more)


JUDGE = judging()


def an_offer(quant: str = "Q6_K", *, model: str = "llama-8b", **more: Any) -> Offer:
    size = SIZES.get(quant, 5) * GIB
    header = rescaled(llama_8b(), quant=quant, size_bytes=size)
    known = {"told": Told.HUB, "header": header, "size_bytes": size}
    return Offer(model, quant, Format.GGUF, **{**known, **more})


def a_profile(**more: Any) -> Profile:
    return Profile(format=1, id="llama-8b", name="Llama", license="x", **more)


def budgets(card: float) -> list[Budget]:
    return [
        Budget(DeviceId("cuda:0"), "card", int(card), 10**12),
        Budget(DeviceId("cpu"), "host", 2 * GIB, None, is_host=True),
    ]


@dataclass
class Counting:
    """Plans, and remembers of what."""

    machine: Sequence[Budget]
    judge: Judge = JUDGE
    looked_at: list[str | None] = field(default_factory=list)

    def consider(self, offer: Offer) -> Considered:
        self.looked_at.append(offer.quant)
        return self.judge.consider(offer, self.machine, WISH)


def best(
    card: float, offers: Sequence[Offer], judge: Judge = JUDGE
) -> tuple[Considered | None, list[str | None]]:
    machine = budgets(card)
    counting = Counting(machine, judge)
    room = sum(budget.usable_bytes for budget in machine)
    found = best_of(offers, judge, counting.consider, room)
    return found, counting.looked_at


LADDER_OF_OFFERS = [an_offer(quant) for quant in SIZES]


@pytest.mark.parametrize(
    ("card", "expected", "looked_at"),
    [
        (200, "F16", ["F16"]),
        (26, "Q8_0", ["F16", "Q8_0"]),
        (22, "Q6_K", ["F16", "Q8_0", "Q6_K"]),
        (9, "Q6_K", ["Q8_0", "Q6_K"]),
        (8.2, "Q6_K", ["Q8_0", "Q6_K"]),
    ],
)
def test_the_best_quality_comes_first_and_the_first_that_nothing_can_beat_ends_the_search(
    card: float, expected: str, looked_at: list[str]
) -> None:
    found, seen = best(card * GIB, LADDER_OF_OFFERS)

    assert found is not None
    assert (found.offer.quant, seen) == (expected, looked_at)


def test_what_is_larger_than_all_memory_is_not_looked_at() -> None:
    _, seen = best(3 * GIB, LADDER_OF_OFFERS)

    assert seen == ["Q4_K_M", "Q3_K_M", "Q2_K"]


def test_where_all_are_larger_the_smallest_is_shown_as_too_big() -> None:
    found, seen = best(GIB // 2, LADDER_OF_OFFERS)

    assert seen == ["Q2_K"]
    assert found is not None
    assert found.plan is not None
    assert found.plan.verdict is Verdict.TOO_BIG


def test_what_was_read_of_one_quantization_stands_for_those_that_nobody_read() -> None:
    first, *rest = LADDER_OF_OFFERS
    unread = [replace(offer, header=None, told=Told.CATALOG) for offer in rest]

    found, _ = best(22 * GIB, [first, *unread])
    alone, _ = best(22 * GIB, unread)

    assert found is not None
    assert found.plan is not None
    assert (found.offer.quant, found.plan.verdict) == ("Q6_K", Verdict.FITS)
    assert alone is not None
    assert alone.plan is None


def test_a_model_without_offers_has_no_best() -> None:
    assert best(9 * GIB, []) == (None, [])


def contender(offer: Offer, judge: Judge = JUDGE) -> Contender:
    considered = judge.consider(offer, budgets(24 * GIB), WISH)
    return judge._contender(considered)


def test_nobody_gets_what_loses_much_unless_they_name_it() -> None:
    assert contender(an_offer("Q2_K")).advice is Advice.ON_REQUEST
    assert contender(an_offer("Q2_K"), judging(asked_quant="q2_k")).advice is None
    assert contender(an_offer("2bit"), judging(asked_quant="2bit")).advice is None


def test_what_the_maker_ships_is_first_on_the_ladder_and_nobody_is_warned_of_it() -> None:
    native = contender(an_offer("IQ2_M", native=True))

    assert (native.rung, native.advice, native.kld) == (0, None, None)


def test_a_divergence_of_these_weights_is_believed_before_the_ladders() -> None:
    assert contender(an_offer("Q6_K")).kld == 0.0055
    assert contender(an_offer("Q6_K", kld=0.001)).kld == 0.001
    assert contender(an_offer("Q9_Z")).kld is None


def test_a_model_ranks_under_any_of_its_names() -> None:
    judge = judging(ranking=["gemma", "llama:8b"])
    known = an_offer(profile=a_profile(aliases=("llama:8b",)))

    ranks = [contender(o, judge).rank for o in (known, an_offer(model="gemma"), an_offer())]

    assert ranks == [1, 0, None]


def test_only_the_benchmark_of_the_use_is_a_score() -> None:
    scores = (
        Score(benchmark="GPQA Diamond", value=61.5, source="its card"),
        Score(benchmark="SWE-bench Verified", value=33.0, source="its card"),
    )
    offer = an_offer(profile=a_profile(scores=scores))

    found = [contender(offer, judging(use)).score for use in (Use.CHAT, Use.CODE, Use.EMBED)]

    assert found == [61.5, 33.0, None]


def test_a_projector_takes_memory_only_where_images_are_wanted() -> None:
    offer = an_offer(projector_bytes=800 * MIB)
    chat, vision = (
        judging(use).consider(offer, budgets(24 * GIB), WISH).plan for use in (Use.CHAT, Use.VISION)
    )

    assert chat is not None
    assert vision is not None
    assert chat.memory.projector == 0
    assert vision.memory.projector >= 800 * MIB


def test_a_plan_aims_at_the_context_of_the_use() -> None:
    plans = [
        judging(use).consider(an_offer(), budgets(11 * GIB), WISH).plan
        for use in (Use.CHAT, Use.CODE)
    ]

    # chat has what it needs at 16 bits; code gives bits up for its own
    assert [plan and plan.kv_type for plan in plans] == ["f16", "q8_0"]


def test_what_no_formula_covers_is_no_plan_and_says_why() -> None:
    offer = an_offer()
    assert offer.header is not None
    strange = replace(offer, header=with_keys(offer.header, wkv__head_size=64))

    found = JUDGE.consider(strange, budgets(24 * GIB), WISH)

    assert found.plan is None
    assert found.why_not is not None
    assert "llama.wkv.head_size" in found.why_not


def test_what_nobody_told_the_size_of_is_no_plan_and_says_so() -> None:
    offer = Offer("x", "Q6_K", Format.GGUF, Told.CATALOG, profile=a_profile())

    found = JUDGE.consider(offer, budgets(24 * GIB), WISH)

    assert (found.plan, found.why_not) == (None, found.offer.caveat)
    assert "has to be read first" in (found.why_not or "")


def considered_all(card: float) -> list[Considered]:
    machine = budgets(card)
    return [JUDGE.consider(an_offer(quant), machine, WISH) for quant in ("Q8_0", "Q4_K_M")]


def test_where_nothing_fits_it_is_said_what_the_least_would_take() -> None:
    said = advice(considered_all(GIB), JUDGE, budgets(GIB))

    assert said is not None
    assert said.startswith("Nothing that fits is of use here. llama-8b Q4_K_M would take a device")
    assert "GiB to spare" in said


def test_where_something_is_of_use_there_is_no_advice() -> None:
    assert advice(considered_all(24 * GIB), JUDGE, budgets(24 * GIB)) is None


def test_where_nothing_has_numbers_there_is_no_advice() -> None:
    assert advice([Considered(an_offer(), None, "unknown")], JUDGE, budgets(GIB)) is None


@pytest.mark.parametrize(
    ("card", "draft_bytes", "said"),
    [
        (24, GIB, "There is room for its mtp draft too (1.0 GiB)."),
        (24, 20 * GIB, None),
        (24, None, None),
        (1, GIB, None),
    ],
    ids=["room", "no room", "unknown size", "the model itself does not fit"],
)
def test_a_draft_that_would_fit_too_is_told_of(
    card: int, draft_bytes: int | None, said: str | None
) -> None:
    draft = Draft(kind=DraftKind.MTP, repo="maker/draft", size=draft_bytes)
    offer = an_offer("Q4_K_M", profile=a_profile(draft=draft))

    found = JUDGE.consider(offer, budgets(card * GIB), replace(WISH, context=8192))

    assert found.note == said
