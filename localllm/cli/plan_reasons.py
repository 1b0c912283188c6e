"""Why a plan chose as it did, in lines: what is said of many candidates alike is said once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap

from localllm.api.views import CandidateView, ExplainedView, PlanView
from localllm.cli.bars import Look
from localllm.cli.tables import table
from localllm.wording.figures import DASH, size_of
from localllm.wording.plain import plain, plain_line
from localllm.wording.plans import lack_of, name_of, part_named, set_aside, speeds_of

_FIGURE = re.compile(r"(?<![\w.-])\d+(\.\d+)?( [KMGT]iB)?(?![\w.-]*\w)")
"""A figure of its own, with its unit; not one in a name: qwen3.6-27b, Q4_K_M."""

_LEAST_WIDTH = 40


def folded(text: str, width: int, *, first: str = "", rest: str = "  ") -> list[str]:
    """Break a sentence into harmless lines; a terminal would break within words."""
    return wrap(
        plain_line(text),
        max(width, _LEAST_WIDTH),
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )


def reasons(view: PlanView, width: int, look: Look) -> list[str]:
    """Say why the choice is the choice, what it takes, and what each other one lacks."""
    lines = []
    if view.why is not None:
        lines += [look.styled(line, bold=True) for line in folded(view.why, width)]
    if view.choice is not None:
        chosen = view.candidates[view.choice]
        said = f"{name_of(chosen, view)}: {chosen.reason}"
        lines += folded(said, width, first="* ")
        kept = set_aside(chosen)
        lines += [] if kept is None else folded(kept, width, first="  ", rest="    ")
    others = _others(view)
    if others:
        lines += [""] if lines else []
        lines += [line for said in others for line in _indented(said, width)]
    if view.advice is not None:
        lines += ["", *folded(view.advice, width)]
    return lines


def _indented(text: str, width: int) -> list[str]:
    return folded(text, width, first="  ", rest="    ")


def _others(view: PlanView) -> list[str]:
    """One sentence for each reason, in the order of the first candidate that it is true of."""
    groups: dict[str, list[CandidateView]] = {}
    for i, candidate in enumerate(view.candidates):
        if i != view.choice:
            groups.setdefault(_pattern(_lack(candidate)), []).append(candidate)
    return [_of_group(group, view) for group in groups.values()]


def _lack(candidate: CandidateView) -> str:
    """What it lacks; of one that does not fit, or is not known, the plan's own words."""
    lack = lack_of(candidate)
    return candidate.reason if lack is None else f"{lack}."


def _pattern(text: str) -> str:
    """The sentence without the one figure that is each candidate's own, and without its details."""
    return _FIGURE.sub("N", _short(text), count=1)


def _short(text: str) -> str:
    return text.partition(": ")[0].rstrip(".")


def _of_group(group: Sequence[CandidateView], view: PlanView) -> str:
    first = _lack(group[0])
    if len(group) == 1:
        colon = ":" if first == group[0].reason else ""
        return f"{name_of(group[0], view)}{colon} {first}"
    texts = [_short(_lack(candidate)) for candidate in group]
    if len(set(texts)) == 1:
        return f"{texts[0]}: {', '.join(name_of(c, view) for c in group)}."
    figures = [_FIGURE.search(text) for text in texts]
    named = [
        f"{name_of(candidate, view)} {DASH if figure is None else figure[0]}"
        for candidate, figure in zip(group, figures, strict=True)
    ]
    return f"{_pattern(first)}, N being: {', '.join(named)}."


def explanations(view: PlanView, width: int) -> list[str]:
    """Each number of the candidates that were to be explained, with its formula."""
    lines: list[str] = []
    for candidate in view.candidates:
        if candidate.explanation:
            lines += ["", f"{name_of(candidate, view)}, number by number:"]
            lines += _formulas(candidate.explanation, width)
            lines += [line for said in speeds_of(candidate) for line in _indented(said, width)]
    return lines


def _formulas(explained: Sequence[ExplainedView], width: int) -> list[str]:
    """The formula behind its number, or below it where there is no room behind."""
    rows = [[f"  {plain(e.device)}", part_named(e.part), size_of(e.bytes), "="] for e in explained]
    lines: list[str] = []
    for head, each in zip(table(rows), explained, strict=True):
        indent = " " * (len(head) + 1)
        if len(indent) + _LEAST_WIDTH > width:
            lines += [head, *folded(each.formula, width, first="      ", rest="      ")]
        else:
            lines += folded(each.formula, width, first=f"{head} ", rest=indent)
    return lines
