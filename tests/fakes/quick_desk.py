"""A desk that plans without a look at the machine: whatever there is, it fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localllm.api.views import ServeRequest
from localllm.config.current import Current
from localllm.config.settings import Settings
from localllm.paths import Paths, bundled_profiles
from localllm.planning.desk import Desk
from localllm.planning.planner import Planned
from localllm.planning.survey import Survey
from tests.fakes.house import a_plan

HERE = frozenset({"small", "tiny", "qwen3-8b", "qwen3:8b", "qwen3-8b:Q8_0"})
"""Names of what it has."""


@dataclass(frozen=True, slots=True)
class QuickDesk(Desk):
    """As Desk; it asks no engine."""

    planned: list[ServeRequest] = field(default_factory=list[ServeRequest])
    """What was asked of it, in order."""

    def plan(self, request: ServeRequest, **_: object) -> Planned:
        self.planned.append(request)
        resolved, _sampling = self.resolved(request)
        if resolved.model not in HERE and resolved.model is not None:
            self.find(resolved.model)
        return a_plan(context=resolved.context or 4096)

    def survey(self, *_: Any, **_more: Any) -> Survey:
        return Survey(self.probe(), (), {})


def quick_desk(settings: Settings, folder: Path, environment: Mapping[str, str]) -> QuickDesk:
    paths = Paths(*(folder / name for name in ("config", "data", "state", "cache")))
    return QuickDesk(Current.of(settings), paths, environment, bundled_profiles())
