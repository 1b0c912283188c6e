"""One check as it goes on: what was asked, what was done, what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from localllm.api.check_views import CheckErrorView, CheckReportView, CheckRequest, CheckView
from localllm.errors import LocalLLMError

_MOST_STEPS = 200


@dataclass(slots=True)
class Run:
    """Mutable, and owned by `Checks`."""

    number: int
    request: CheckRequest
    seen_at: float
    """When somebody looked at it last, on the loop's clock."""

    doing: str = "it waits for its turn"
    steps: list[str] = field(default_factory=list[str])
    report: CheckReportView | None = None
    error: LocalLLMError | None = None
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Ends it."""

    @property
    def is_over(self) -> bool:
        return self.report is not None or self.error is not None

    def tell(self, what: str) -> None:
        """Note what is being done."""
        self.doing = what
        if len(self.steps) < _MOST_STEPS:
            self.steps.append(what)

    def view(self) -> CheckView:
        return CheckView(
            number=self.number,
            state="done" if self.report else "failed" if self.error else "running",
            request=self.request,
            doing=self.doing,
            steps=[*self.steps],
            report=self.report,
            error=None if self.error is None else _render_error(self.error),
        )


def _render_error(error: LocalLLMError) -> CheckErrorView:
    return CheckErrorView(code=error.code, what=error.what, why=error.why, fix=error.fix)
