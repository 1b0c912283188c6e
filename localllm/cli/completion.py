"""`localllm completion`: what makes Tab complete commands, options and names in a shell."""

from __future__ import annotations

import os
from pathlib import Path

import click

from localllm.cli.conventions import say
from localllm.errors import LocalLLMError

_SHELLS = ("bash", "zsh", "fish")
_BASH_COMPLETION = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/usr/local/etc/profile.d/bash_completion.sh",
)


class NotOurs(LocalLLMError):
    """Another program, or a person, has written the file."""


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.option("--install", "installs", is_flag=True, help="Write it where the shell looks for it.")
def command(shell: str | None, *, installs: bool) -> None:
    """Print what completes localllm's commands in SHELL; by default in the one you use.

    \b
      localllm completion --install              once, for the shell you use
      source <(localllm completion bash)         for this bash alone
      localllm completion fish | source          for this fish alone
    """  # noqa: D301  # click wants this very character
    from localllm.cli.completion_files import marked  # noqa: PLC0415
    from localllm.cli.completion_shells import script_for  # noqa: PLC0415
    from localllm.cli.main import cli  # noqa: PLC0415  # it imports this file

    wanted = shell or _used_shell()
    script = marked(script_for(wanted, cli))
    if not installs:
        click.echo(script, nl=False)
        return
    _install(wanted, script)


def _used_shell() -> str:
    """Take the login shell.

    Raises:
        UsageError: It is none of ours.
    """
    name = Path(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        known = ", ".join(_SHELLS)
        raise click.UsageError(f"Which shell? $SHELL is {name or 'not set'}; there are: {known}.")
    return name


def _install(shell: str, script: str) -> None:
    from localllm.cli.completion_files import is_ours, place_of  # noqa: PLC0415

    file = place_of(shell, os.environ)
    if (file.exists() or file.is_symlink()) and not is_ours(file):
        raise NotOurs(
            f"{file} is there already.",
            why="localllm has not written it, or somebody has changed it since",
            fix=f"move it away, or: localllm completion {shell} > {file}",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script, encoding="utf-8")
    say(f"written: {file}")
    say(_what_is_left(shell, file))


def _what_is_left(shell: str, file: Path) -> str:
    """Say what makes the shell read it."""
    if shell == "fish":
        return "fish reads it by itself"
    if shell == "zsh":
        return (
            f"to do, unless it is there already, in ~/.zshrc before compinit: fpath=({file.parent} $fpath)\n"
            "  and if nothing calls it yet: autoload -Uz compinit && compinit"
        )
    if any(Path(one).exists() for one in _BASH_COMPLETION):
        return "a new bash reads it by itself, by the package bash-completion"
    return f"to do, in ~/.bashrc, since there is no package bash-completion: source {file}"
