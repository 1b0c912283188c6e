"""`localllm doctor`: what the daemon saw go wrong, and how it is mended."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click

from localllm.api.parting_views import PartingsView
from localllm.api.sync_client import require_daemon
from localllm.cli.connect import agent_names
from localllm.cli.conventions import here, json_option, print_document
from localllm.cli.render_partings import render_partings
from localllm.paths import bundled_profiles

_ALL = "*"


@click.command("doctor")
@click.option(
    "--agent",
    metavar="[NAME]",
    is_flag=False,
    flag_value=_ALL,
    shell_complete=agent_names,
    help="What agents do that has their prompts read again; NAME is one of them, as in claude-code.",
)
@json_option
def command(agent: str | None, *, as_json: bool) -> None:
    """Find out why an agent has to wait, from what it has sent since the daemon runs.

    An agent sends its whole conversation with each turn. What is as in the turn before need not be
    read again, up to the first thing that differs: a date, an id, tools in another order.

    \b
      localllm doctor --agent               all programs that sent chats
      localllm doctor --agent claude-code   one of them
    """  # noqa: D301  # click wants this very character
    if agent is None:
        raise click.UsageError("So far it looks at agents alone: localllm doctor --agent [NAME].")
    view = require_daemon(here().daemon_file).partings()
    name = None if agent == _ALL else agent
    seen = [one.program for one in view.programs]
    chosen = view if name is None else _of(view, _programs(name, seen))
    print_document(chosen, render_partings(chosen, name, seen), as_json=as_json)


def _of(view: PartingsView, programs: Collection[str]) -> PartingsView:
    return PartingsView(programs=[one for one in view.programs if _is_one(one.program, programs)])


def _is_one(program: str, names: Collection[str]) -> bool:
    """Whether it is one of them, or one of its programs, as codex_exec is of codex."""
    begins = tuple(f"{name}{mark}" for name in names for mark in "-_")
    return program.lower() in names or program.lower().startswith(begins)


def _programs(name: str, seen: Sequence[str]) -> Collection[str]:
    """How an agent may call itself in its requests; any other name is a program's own.

    Raises:
        NoSuchAgent: It is neither an agent's, nor one's that was seen.
    """
    from localllm.agents.errors import NoSuchAgent  # noqa: PLC0415  # heavy, all of them
    from localllm.agents.first_request import read_first_request  # noqa: PLC0415
    from localllm.agents.profile import find_agent, read_agents  # noqa: PLC0415
    from localllm.metrics.callers import caller_of  # noqa: PLC0415

    folder = bundled_profiles()
    try:
        agent = find_agent(read_agents(folder), name)
    except NoSuchAgent:
        if not any(_is_one(program, {name.lower()}) for program in seen):
            raise
        return {name.lower()}
    names = {name, agent.id, *agent.aliases, *agent.programs}
    if agent.request is not None:
        said = read_first_request(folder, agent).headers.get("User-Agent")
        names.add(caller_of(said).program_name)
    return {each.lower() for each in names}
