"""Which candidate of a plan is meant where nobody has named one. Pure."""

from __future__ import annotations

from localllm.api.views import CandidateView, PlanView


def chosen(view: PlanView) -> CandidateView | None:
    """The choice of a plan, also where an engine for it has yet to be fetched; None: none is of use."""
    if view.advice is not None:
        return None
    if view.choice is not None:
        return view.candidates[view.choice]
    fitting = (c for c in view.candidates if c.verdict in {"fits", "fits_partly"})
    return next((c for c in fitting if c.lacks is None), None)
