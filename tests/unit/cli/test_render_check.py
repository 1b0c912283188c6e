"""The report of an examination, as a person reads it."""

from __future__ import annotations

from localllm.cli.render_check import render_check
from localllm.quality.facts import Called, Tried
from localllm.quality.findings import findings_alone, findings_beside
from localllm.quality.rendering import render_report
from tests.unit.quality.some_facts import a_subject, scored, some_facts

GOOD = some_facts(
    tried=(Tried("months", True, "", "January"), Tried("add", False, "it says 41, not 42", "41")),
    called=(Called("a schema", "openai", 3, 2, 1, why="it is no JSON"),),
)


def test_a_report_has_its_figures_in_a_table_and_the_verdict_last() -> None:
    text = render_check(render_report(GOOD, None, findings_alone(GOOD), is_earlier=True))

    assert "perplexity     2.00 over 100 tokens" in text
    assert "  add: it says 41, not 42" in text
    assert "  a schema (openai): 2 of 3 valid, 1 right: it is no JSON" in text
    assert text[-1] == "verdict: ok"


def test_two_stand_beside_each_other_and_what_is_wrong_says_how_bad_it_is() -> None:
    worse = some_facts(a_subject(id="worse"), scored=(scored([0.45, 0.44] * 50),))
    report = render_report(worse, GOOD, findings_beside(worse, GOOD), is_earlier=False)

    text = "\n".join(render_check(report))

    assert "token by token: perplexity +12.4% ± 0.1%" in text
    assert "worse: Its perplexity is +12.4% beside smol's" in text
    assert text.endswith("verdict: worse")


def test_the_table_of_two_with_long_names_fits_a_terminal() -> None:
    one, other = (some_facts(a_subject(id=f"qwen3-coder-30b-a3b-{x}")) for x in ("q4", "instruct"))

    text = render_check(render_report(one, other, (), is_earlier=True))

    assert max(map(len, text)) <= 80


def test_what_a_model_wrote_cannot_steer_the_terminal() -> None:
    evil = some_facts(tried=(Tried("copy", False, "it says \x1b[2J", "\x1b[2J"),))

    text = "\n".join(render_check(render_report(evil, None, (), is_earlier=True)))

    assert "\x1b" not in text


def test_an_answer_that_was_never_judged_has_no_count() -> None:
    thinking = some_facts(called=(Called("a schema", "openai", 0, 0, 0, why="it was thinking"),))

    text = render_check(render_report(thinking, None, (), is_earlier=True))

    assert "  a schema (openai): it was thinking" in text
