"""Which agents are here, and which of them were pointed at this endpoint."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from localllm.agents.errors import NotInstalled
from localllm.agents.places import Whereabouts, place_of
from localllm.agents.profile import AgentProfile
from localllm.agents.undoing import connected_model

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """One agent as it was found."""

    agent: AgentProfile
    program: str | None
    """Its path; None if it is not on PATH."""

    has_folder: bool
    """Its settings folder is there: it has run here, or an editor's extension has."""

    model: str | None
    """That its files name since localllm wrote them; None if they do not."""

    @property
    def installed(self) -> bool:
        return self.program is not None or self.has_folder


def find_agents(
    agents: Sequence[AgentProfile], where: Whereabouts, records: Path
) -> list[FoundAgent]:
    """Look for every agent."""
    return [
        FoundAgent(
            agent, _program(agent), _has_folder(agent, where), connected_model(agent.id, records)
        )
        for agent in agents
    ]


def _program(agent: AgentProfile) -> str | None:
    return next((path for name in agent.programs if (path := shutil.which(name))), None)


def _has_folder(agent: AgentProfile, where: Whereabouts) -> bool:
    """Whether a folder that is the agent's alone is there; a home folder says nothing."""
    roots = {place_of(file, where).root for file in agent.files} - {where.home}
    return any(root.is_dir() for root in roots)


def require_program(agent: AgentProfile, which: Which = shutil.which) -> str:
    """Find the program of an agent.

    Raises:
        NotInstalled: None of its names is on PATH.
    """
    for name in agent.programs:
        path = which(name)
        if path is not None:
            return path
    raise NotInstalled(
        f"{agent.name} is not installed.",
        why=f"no {' or '.join(agent.programs)} is on PATH",
        fix=agent.install or "install it first",
    )
