"""Which candidate is meant where nobody has named one."""

from __future__ import annotations

from localllm.api.chosen import chosen
from tests.unit.cli.a_plan import a_candidate, a_plan, too_big, unknown

BETTER, WORSE = a_candidate("Q6_K"), a_candidate("Q4_K_M", lacks="is below Q6_K on the ladder")


def test_it_is_the_choice_where_there_is_one() -> None:
    assert chosen(a_plan(WORSE, BETTER, choice=1)) is BETTER


def test_where_an_engine_has_yet_to_be_fetched_it_is_the_one_that_lacks_nothing() -> None:
    assert chosen(a_plan(too_big("Q8_0", 26), WORSE, BETTER, choice=None)) is BETTER


def test_where_nothing_that_fits_is_of_use_or_known_there_is_none() -> None:
    assert chosen(a_plan(BETTER, choice=None, advice="Take a larger card.")) is None
    assert chosen(a_plan(too_big("Q8_0", 26), unknown("Q6_K"), choice=None)) is None
