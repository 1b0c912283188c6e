"""Which program `launch` starts, and with which words."""

from __future__ import annotations

import click

from localllm.agents.errors import NotInstalled
from localllm.agents.finding import Which, require_program
from localllm.agents.launching import Launched
from localllm.agents.profile import AgentProfile


def program_of(agent: AgentProfile, launched: Launched, which: Which) -> tuple[str, list[str]]:
    """Find the program's path, and what to give it.

    Raises:
        NotInstalled: It is not on PATH.
        UsageError: The user has to name one, and has not.
    """
    if launched.program is not None:
        return require_program(agent, which), list(launched.arguments)
    if not launched.arguments:
        raise click.UsageError(f"which program? localllm launch {agent.id} -- PROGRAM ARGUMENTS")
    name, *rest = launched.arguments
    path = which(name)
    if path is None:
        raise NotInstalled(
            f"There is no program {name}.",
            why="it is not on PATH",
            fix="install it, or give its path",
        )
    return path, rest
