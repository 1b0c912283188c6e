"""Makes the document of a checkup of what was found. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from localllm import __version__
from localllm.api.checkup_views import CheckupView, FindingView, RepairedView
from localllm.checkup.finding import Finding, Repaired, Severity, sorted_for_people, worst
from localllm.checkup.repairs import render_repair


def render_checkup(
    findings: Sequence[Finding], took_s: float, repaired: Sequence[Repaired] = ()
) -> CheckupView:
    """Show what was found, the worst first."""
    return CheckupView(
        version=__version__,
        took=round(took_s, 3),
        worst=worst(findings).value,
        counts={one.value: sum(f.severity is one for f in findings) for one in Severity},
        findings=[_finding(one) for one in sorted_for_people(findings)],
        repaired=[_repaired(one) for one in repaired],
    )


def _finding(one: Finding) -> FindingView:
    return FindingView(
        id=one.id,
        area=one.area.value,
        severity=one.severity.value,
        what=one.what,
        why=one.why,
        fix=one.fix,
        repair=None if one.repair is None else render_repair(one.repair),
    )


def _repaired(one: Repaired) -> RepairedView:
    return RepairedView(id=one.finding.id, what=one.finding.what, did=one.did, error=one.error)
