"""What all verbs do alike: find the installation, print a document, talk, take a path."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import click
import msgspec

from localllm.paths import Paths, paths_for
from localllm.store.names import OLLAMA, is_url
from localllm.wording.plain import plain_text

F = TypeVar("F", bound=Callable[..., object])


def here() -> Paths:
    """The directories of this user's installation."""
    return paths_for(os.environ)


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(
        function
    )


def print_document(
    document: object, lines: Sequence[str], *, as_json: bool, is_colored: bool = False
) -> None:
    """Print a view for programs or for people.

    Args:
        is_colored: The lines have colours; who gave them these has made them harmless.
    """
    if as_json:
        click.echo(msgspec.json.encode(document))
    else:
        text = "\n".join(lines)
        click.echo(text if is_colored else plain_text(text))


def say(text: str) -> None:
    """Talk: to stderr, since stdout is for results."""
    click.echo(plain_text(text), err=True)


def absolute(model: str | None) -> str | None:
    """Make a path whole: the daemon has another working directory.

    A word alone is a name, also where a folder happens to be called so: `./folder` is a path.
    """
    if model is None or is_url(model) or model.startswith(OLLAMA):
        return model
    is_path = "/" in model and os.path.exists(os.path.expanduser(model))  # noqa: PTH110, PTH111
    if model.endswith(".gguf") or is_path:
        return os.path.abspath(os.path.expanduser(model))  # noqa: PTH100, PTH111
    return model


WIDE = 200
"""Columns where nobody looks at a terminal: nothing is left out of what a program reads."""


def terminal_width() -> int:
    """Columns that there are for a table."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def allow_tls() -> None:
    """Let `import ssl` succeed again, which `entry.main` leaves out: most verbs talk to loopback."""
    if sys.modules.get("ssl", sys) is None:
        del sys.modules["ssl"]
