"""`localllm launch`: starts an agent on the local model, for this one run."""

from __future__ import annotations

import os
import shutil

import click

from localllm.cli.completing import served_models
from localllm.cli.connect import agent_names
from localllm.cli.conventions import here, json_option, print_document


@click.command(
    "launch",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--model", shell_complete=served_models, help="That is served; by default the current one."
)
@json_option
@click.argument("agent", shell_complete=agent_names)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(agent: str, arguments: tuple[str, ...], *, model: str | None, as_json: bool) -> None:
    """Start AGENT with settings that point it here; nothing of the user's is written.

    What follows AGENT goes to it. With --json: show what would be started, and start nothing.

    \b
      localllm launch codex
      localllm launch claude-code -- -p "say hi"
      localllm launch env -- python my_program.py
    """  # noqa: D301  # click wants this very character
    from localllm.agents.launching import lay_out, plan_launch, with_key  # noqa: PLC0415  # heavy
    from localllm.api.agent_views import LaunchView  # noqa: PLC0415
    from localllm.cli.agent_settings import settings_of, warn  # noqa: PLC0415
    from localllm.cli.launched import program_of  # noqa: PLC0415

    paths = here()
    settings = settings_of(paths, agent, model)
    given = arguments[1:] if arguments[:1] == ("--",) else arguments
    folder = paths.state / "launched" / settings.agent.id
    launched = plan_launch(settings, given, folder)
    program, words = program_of(settings.agent, launched, shutil.which)
    if as_json:
        view = LaunchView(
            agent=settings.agent.id,
            model=settings.connection.model,
            command=[program, *words],
            environment=dict(launched.environment),
            warnings=list(settings.warnings),
        )
        print_document(view, [], as_json=True)
        return
    warn(settings.warnings)
    lay_out(settings, folder)
    environment = {**os.environ, **with_key(launched, os.environ).environment}
    os.execve(program, [program, *words], environment)  # noqa: S606  # the user's own program
