"""The command `localllm`: its verbs, loaded when they are used, and how an error is shown."""

from __future__ import annotations

import importlib
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click

from localllm import __version__
from localllm.errors import LocalLLMError

if TYPE_CHECKING:  # only for a shell
    from click.shell_completion import CompletionItem

_VERBS = {
    "up": "Start serving: probe, plan, get the model, start, warm up.",
    "down": "Drain, stop every engine and the daemon.",
    "status": "Show the daemon and its models.",
    "tui": "Watch it all on one screen, and switch models there.",
    "probe": "Show what hardware was found, and how.",
    "plan": "Show what would run here: context, memory, speed, reason.",
    "run": "Ask a model once, or chat with it.",
    "pull": "Fetch a model to this disk, and go on where it was stopped.",
    "ls": "Show the models on this disk.",
    "rm": "Remove models from this disk.",
    "gc": "Remove what is left over, and what was not used for long.",
    "verify": "Compare files on this disk with their hashes.",
    "prefix": "Show and remove the prompts that are kept on this disk.",
    "switch": "Serve another model in the place of what is served.",
    "pin": "Keep a model in memory, whatever else is asked for.",
    "unpin": "Let a pinned model make room again.",
    "stop": "Stop one model, its requests drained.",
    "logs": "Show an engine's log.",
    "events": "Show what happened, and what was decided.",
    "doctor": "Find what is wrong here or with an agent, and how it is mended.",
    "engine": "Show, install, choose and compare engines.",
    "bench": "Measure what is served, or replay recorded traffic.",
    "record": "Keep the shapes of requests, to replay them later.",
    "cost": "Show what the tokens cost here, and would cost elsewhere.",
    "check": "Examine a model, or compare it with another.",
    "connect": "Point an agent at what is served, or take it back.",
    "launch": "Start an agent on what is served, and write nothing.",
    "config": "Show and check the settings, and where they come from.",
    "service": "Start with the machine: a systemd unit or a launchd agent.",
    "upgrade": "Bring localllm up to date, and come back with the same models.",
    "uninstall": "Take away what localllm has written, and leave the models.",
    "completion": "Print what completes commands in bash, zsh or fish.",
    "key": "Make and take away API keys, for those who are asked for one.",
}
_INTERRUPTED = 130


class _Verbs(click.Group):
    """Lists the verbs without loading them: each imports what it needs when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in _VERBS:
            return None
        command: click.Command = importlib.import_module(f"localllm.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_VERBS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a verb, without loading any."""
        from localllm.cli.completion_shells import items  # noqa: PLC0415  # only for a shell

        return [*items(_VERBS, incomplete), *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb for one that does not exist."""
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            ctx.fail(_no_such_verb(args[0]))
        return super().resolve_command(ctx, args)


def _no_such_verb(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415

    near = get_close_matches(name, _VERBS, n=1)
    return f"No command {name!r}" + (f", did you mean {near[0]}?" if near else ".")


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: localllm up. Then point an OpenAI client at http://127.0.0.1:11711/v1.",
)
@click.version_option(__version__, prog_name="localllm")
@click.option("--debug", is_flag=True, help="Show a traceback instead of a sentence.")
def cli(*, debug: bool) -> None:  # run() looks for it, before all else fails
    """Run local language models on one workstation."""


def run() -> None:
    """Run the command line; an expected error is three sentences and its own exit code."""
    _print_what_can_be()
    if "_LOCALLLM_COMPLETE" in os.environ:  # a shell asks, by what `completion` has given it
        importlib.import_module("localllm.cli.completion_shells")
    try:
        code = cli.main(prog_name="localllm", standalone_mode=False)
    except LocalLLMError as error:
        if "--debug" in sys.argv:
            raise
        _say(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        _say(_what_the_system_says(error))
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _print_what_can_be() -> None:
    """A terminal that lacks a character, as Latin-1 does €, shows a question mark in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def _say(error: LocalLLMError) -> None:
    """Show it; names of files and models are foreign text."""
    from localllm.wording.plain import plain_text  # noqa: PLC0415  # the way without errors is short

    click.echo(f"localllm: {plain_text(str(error))}", err=True)


def _what_the_system_says(error: OSError) -> LocalLLMError:
    place = f" ({error.filename})" if error.filename else ""
    return LocalLLMError(
        f"The system refused{place}.",
        why=error.strerror or str(error),
        fix="check that the place is there, writable and not full; LOCALLLM_HOME names another",
    )
