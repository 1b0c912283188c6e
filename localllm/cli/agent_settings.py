"""What `connect` and `launch` do alike: find the agent, ask what is served, fill its profile in."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from localllm.agents.errors import NotConnectable
from localllm.agents.places import Whereabouts
from localllm.agents.profile import find_agent, read_agents
from localllm.agents.settings import Settings, render_settings
from localllm.agents.writing import Surroundings
from localllm.cli.conventions import say
from localllm.cli.served import read_connection
from localllm.paths import Paths, bundled_profiles


def whereabouts() -> Whereabouts:
    """Whose home this is, and what is set in it."""
    return Whereabouts(Path.home(), os.environ, macos=sys.platform == "darwin")


def surroundings(records: Path) -> Surroundings:
    """Where and when something would be written."""
    return Surroundings(Path.home(), Path.cwd(), records, datetime.now().astimezone())


def settings_of(paths: Paths, name: str, model: str | None) -> Settings:
    """Fill an agent's profile in with what is served.

    Raises:
        LocalLLMError: There is no such agent, it cannot be connected, or nothing is served.
    """
    agent = find_agent(read_agents(bundled_profiles()), name)
    if agent.why_not is not None:  # whether or not a daemon runs
        raise NotConnectable(
            f"{agent.name} cannot be connected.",
            why=agent.why_not,
            fix="take another agent: localllm connect lists them",
        )
    return render_settings(agent, read_connection(paths, model), whereabouts())


def require_files(settings: Settings) -> Settings:
    """Refuse to write for an agent that has no file to write to.

    Raises:
        NotConnectable: It takes its settings from elsewhere.
    """
    if settings.files:
        return settings
    agent = settings.agent
    starts = agent.launch.why_not is None
    raise NotConnectable(
        f"{agent.name} has no file that could be written.",
        why="it takes its settings from the environment"
        if settings.environment
        else "they are set in its window",
        fix=f"localllm launch {agent.id}"
        if starts and agent.programs
        else f"localllm connect {agent.id}",
    )


def warn(warnings: Iterable[str]) -> None:
    """Talk of what will not go well."""
    for text in warnings:
        say(f"warning: {text}")
