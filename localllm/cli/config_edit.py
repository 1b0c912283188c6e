"""Writes and edits config.toml, for `config init` and `config edit`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click
import msgspec

from localllm.cli.conventions import say
from localllm.config.default_file import SCHEMA_NAME, render_default
from localllm.config.editing import write_text
from localllm.config.json_schema import render_schema
from localllm.config.reading import check_text, error_of_file, read_text
from localllm.errors import ConfigError


def write_default(file: Path, *, force: bool) -> Path:
    """Write the default, and the schema beside it.

    Raises:
        ConfigError: There is a file.
    """
    if file.exists() and not force:
        raise ConfigError(
            f"{file} is there already.",
            why="what is written in it is not to be lost",
            fix="localllm config init --print shows the default; --force replaces the file",
        )
    if file.exists():
        beside = file.with_name(f"{file.name}.before")
        write_text(beside, read_text(file))
        say(f"what was there is {beside} now")
    write_text(file, render_default())
    write_schema(file)
    return file


def write_schema(file: Path) -> None:
    """Write the schema that the default's first line names."""
    schema = msgspec.json.format(msgspec.json.encode(render_schema()), indent=2)
    write_text(file.with_name(SCHEMA_NAME), schema.decode() + "\n")


def edited(file: Path) -> bool:
    """Have a copy edited until it is right; then it takes the file's place.

    Returns:
        Whether anything has changed.

    Raises:
        ConfigError: There is no editor; or what was written is wrong, and nobody is there to mend it;
            or the file has changed meanwhile. A copy that says something new is kept.
    """
    before = read_text(file)
    start = before if file.exists() else render_default()
    draft = _draft(file, start)
    try:
        write_schema(file)
        after = _right(draft, start)
        if after is not None:
            _put(file, after, before)
    except BaseException:
        if read_text(draft) == start:
            draft.unlink(missing_ok=True)
        else:
            say(f"what you wrote is in {draft}")
        raise
    draft.unlink(missing_ok=True)
    return after is not None


def _right(draft: Path, start: str) -> str | None:
    """Have it edited until it is right; None where it is left as it was."""
    while True:
        _open(draft)
        after = read_text(draft)
        if after == start:
            say("nothing has changed")
            return None
        mistakes = check_text(after).mistakes
        if not mistakes:
            return after
        error = error_of_file(draft, mistakes)
        if not sys.stdin.isatty():
            raise error
        say(str(error))
        if not click.confirm("Edit it again? Else what you wrote is dropped", default=True):
            return None


def _open(draft: Path) -> None:
    try:
        click.edit(filename=str(draft))
    except click.ClickException as error:
        raise ConfigError(
            "The editor has failed, so nothing is changed.",
            why=error.message,
            fix="EDITOR=nano localllm config edit, or another that is here",
        ) from error


def _put(file: Path, text: str, before: str) -> None:
    """Take what was written over, unless somebody else has written meanwhile."""
    if read_text(file) != before:
        raise ConfigError(
            f"{file} has changed while you edited a copy of it.",
            why="what the other has written is not to be lost",
            fix="localllm config edit, and take over what you wrote",
        )
    write_text(file, text)


def _draft(file: Path, text: str) -> Path:
    """Put a copy beside the file, where its schema is found."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix="config-", suffix=".toml", delete=False, encoding="utf-8"
    ) as draft:
        draft.write(text)
    return Path(draft.name)
