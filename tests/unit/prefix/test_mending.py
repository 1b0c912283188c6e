"""What is said of a place where the prefix breaks, and what can be done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from localllm.prefix.differing import Kind
from localllm.prefix.mending import describe, fix_of
from localllm.prefix.parting import Parting

DATE = Parting("message 1 (system)", 1_650, Kind.DATE, "is 2026-11-29.", "is 2026-11-30.", 9_000)


@pytest.mark.parametrize(
    ("parting", "at"),
    [
        (DATE, "byte 1650"),
        (replace(DATE, tokens=412), "token 412 (about)"),
        (replace(DATE, tokens=412, is_exact=True), "token 412"),
    ],
)
def test_the_place_is_told_as_well_as_it_is_known(parting: Parting, at: str) -> None:
    assert describe(parting) == (
        f"the prefix differs at {at}: a date in message 1 (system), "
        'before "is 2026-11-29.", now "is 2026-11-30."'
    )


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({}, "find whose template, rule or plugin writes a date there"),
        ({"kind": Kind.TIME}, "say the day alone"),
        ({"kind": Kind.ID}, "writes an id there"),
        ({"kind": Kind.TEXT}, "which rule, memory or plugin"),
        ({"now": "x-anthropic-billing-header: c"}, "CLAUDE_CODE_ATTRIBUTION_HEADER=0"),
        ({"part": "tools", "kind": Kind.ORDER}, "in another order each time"),
        ({"part": "tools", "kind": Kind.TEXT}, "an MCP server came, went"),
        ({"part": "reasoning_effort", "kind": Kind.TEXT}, "one way to think"),
        ({"part": "message 7 (tool)", "kind": Kind.TEXT}, "changes what was said before"),
    ],
)
def test_each_kind_of_break_has_its_cure(changes: dict[str, object], fix: str) -> None:
    assert fix in fix_of(replace(DATE, **changes))  # type: ignore[arg-type]
