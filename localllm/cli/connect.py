"""`localllm connect`: points an agent at what is served, and takes it back."""

from __future__ import annotations

import os
import sys

import click

from localllm.cli.completing import served_models
from localllm.cli.conventions import here, json_option, print_document, say
from localllm.paths import Paths, bundled_profiles


def agent_names(_context: click.Context, _argument: click.Parameter, begun: str) -> list[str]:
    """Complete the name of an agent."""
    from localllm.agents.profile import read_agents  # noqa: PLC0415  # heavy

    ids = (agent.id for agent in read_agents(bundled_profiles()))
    return [id_ for id_ in ids if id_.startswith(begun)]


@click.command("connect")
@click.argument("agent", required=False, shell_complete=agent_names)
@click.option("--write", "way", flag_value="write", help="Edit its files; a backup stays beside.")
@click.option("--undo", "way", flag_value="undo", help="Take back what --write did.")
@click.option("--check", "way", flag_value="check", help="Send the first request that it sends.")
@click.option(
    "--model", shell_complete=served_models, help="That is served; by default the current one."
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    agent: str | None,
    *,
    way: str | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Show the settings that point AGENT at this endpoint, or write them, or try them.

    Without AGENT: which agents there are, and which of them are installed and connected.

    \b
      localllm connect                      what there is
      localllm connect codex --write        from now on Codex uses the local model
      localllm connect codex --undo         and no more
      eval "$(localllm connect env)"        for what uses the official clients
    """  # noqa: D301  # click wants this very character
    paths = here()
    if agent is None:
        if way is not None:
            raise click.UsageError(f"--{way} needs an AGENT; localllm connect lists them")
        _list(paths, as_json=as_json)
    elif way == "undo":
        _undo(paths, agent, as_json=as_json)
    elif way == "write":
        _write(paths, agent, model, as_json=as_json)
    elif way == "check":
        context.exit(_check(paths, agent, model, as_json=as_json))
    else:
        _show(paths, agent, model, as_json=as_json)


def _list(paths: Paths, *, as_json: bool) -> None:
    from localllm.agents.finding import find_agents  # noqa: PLC0415  # heavy, all of them
    from localllm.agents.profile import read_agents  # noqa: PLC0415
    from localllm.api.agent_views import show_found  # noqa: PLC0415
    from localllm.cli.agent_settings import whereabouts  # noqa: PLC0415
    from localllm.cli.render_agents import render_found  # noqa: PLC0415

    agents = read_agents(bundled_profiles())
    view = show_found(find_agents(agents, whereabouts(), paths.agents))
    print_document(view, render_found(view), as_json=as_json)


def _show(paths: Paths, name: str, model: str | None, *, as_json: bool) -> None:
    from localllm.api.agent_views import show_settings  # noqa: PLC0415  # heavy, all of them
    from localllm.cli.agent_settings import settings_of, warn  # noqa: PLC0415
    from localllm.cli.render_agents import render_agent  # noqa: PLC0415

    settings = settings_of(paths, name, model)
    view = show_settings(settings)
    print_document(view, render_agent(view), as_json=as_json)
    warn(view.warnings)
    if settings.files and sys.stdout.isatty():
        say(f"next: localllm connect {settings.agent.id} --write puts this into its files")


def _write(paths: Paths, name: str, model: str | None, *, as_json: bool) -> None:
    from localllm.agents.guarding import repository_around  # noqa: PLC0415  # heavy, all of them
    from localllm.agents.writing import write_settings  # noqa: PLC0415
    from localllm.api.agent_views import show_written  # noqa: PLC0415
    from localllm.cli.agent_settings import (  # noqa: PLC0415
        require_files,
        settings_of,
        surroundings,
        warn,
    )
    from localllm.cli.render_agents import render_written  # noqa: PLC0415

    settings = require_files(settings_of(paths, name, model))
    written = write_settings(settings, surroundings(paths.agents))
    kept = {f: repository_around(f) for f in (each.file for each in written if each.changed)}
    more = [
        f"{f} is in the git repository {r}: commit it only if you mean to"
        for f, r in kept.items()
        if r
    ]
    view = show_written(settings, written, more)
    print_document(view, render_written(view), as_json=as_json)
    warn(view.warnings)


def _undo(paths: Paths, name: str, *, as_json: bool) -> None:
    from localllm.agents.profile import find_agent, read_agents  # noqa: PLC0415  # heavy
    from localllm.agents.undoing import undo_settings  # noqa: PLC0415
    from localllm.api.agent_views import show_undone  # noqa: PLC0415
    from localllm.cli.render_agents import render_undone  # noqa: PLC0415

    agent = find_agent(read_agents(bundled_profiles()), name)
    view = show_undone(agent.id, undo_settings(agent.id, paths.agents))
    print_document(view, render_undone(view), as_json=as_json)


def _check(paths: Paths, name: str, model: str | None, *, as_json: bool) -> int:
    from localllm.agents.asking import send_first_request  # noqa: PLC0415  # heavy, all of them
    from localllm.agents.connection import DUMMY_KEY, KEY_VARIABLE  # noqa: PLC0415
    from localllm.agents.first_request import (  # noqa: PLC0415
        body_of,
        headers_of,
        read_first_request,
    )
    from localllm.api.agent_views import show_check  # noqa: PLC0415
    from localllm.cli.agent_settings import settings_of, warn  # noqa: PLC0415
    from localllm.cli.render_agents import render_check  # noqa: PLC0415

    settings = settings_of(paths, name, model)
    request = read_first_request(bundled_profiles(), settings.agent)
    connection = settings.connection
    headers = headers_of(request, os.environ.get(KEY_VARIABLE, DUMMY_KEY))
    outcome = send_first_request(
        connection.base, request, body_of(request, connection), dict(headers)
    )
    view = show_check(settings, request, outcome)
    print_document(view, render_check(view), as_json=as_json)
    warn(view.warnings)
    return 0 if outcome.complete else 1
