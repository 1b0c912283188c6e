"""Writes the documentation's tables of commands and settings from the code, while mkdocs builds it.

Named as a hook in mkdocs.yml. The pages are in the site alone, so that none can fall behind.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from localllm.cli.main import cli
from localllm.config.reference import Row, rows

_PARAGRAPH = "\b"
"""Click's mark of a paragraph whose lines are to stay as they are."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are written from the code; mkdocs calls it."""
    for path, text in (
        ("reference/commands.md", render_commands()),
        ("reference/settings.md", render_settings()),
    ):
        files.append(File.generated(config, path, content=text))
    return files


def render_commands() -> str:
    """Write the page of all commands, as Markdown."""
    top = click.Context(cli, info_name="localllm")
    parts = ["# Commands", "Written from the program itself; `localllm VERB --help` says the same."]
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        parts += _command(command, click.Context(command, info_name=name, parent=top), 2)
    return "\n\n".join(parts) + "\n"


def render_settings() -> str:
    """Write the page of all settings, as Markdown: a table for each of config.toml's."""
    parts = [
        "# Settings",
        "Written from the program itself. What each is for, and what goes over what: "
        "[configuration](../configuration.md).",
    ]
    tables: dict[str, list[Row]] = {}
    for row in rows():
        tables.setdefault(row.table, []).append(row)
    for table, its_rows in tables.items():
        title = f"`[{table}]`" if table else "At the top of the file"
        parts += [f"## {title}", "\n".join(_settings_table(its_rows))]
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, ctx: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {ctx.command_path}"
    yield _usage(command, ctx)
    yield from _help(command)
    table = [line for one in command.params for line in _option_line(one, ctx)]
    if table:
        yield "\n".join(["| option | |", "| --- | --- |", *table])
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            inner = click.Context(below, info_name=name, parent=ctx)
            yield from _command(below, inner, level + 1)


def _usage(command: click.Command, ctx: click.Context) -> str:
    pieces = " ".join(command.collect_usage_pieces(ctx))
    return f"```text\n{ctx.command_path} {pieces}\n```"


def _help(command: click.Command) -> Iterator[str]:
    """Give its paragraphs; what click leaves as it is becomes a block of code."""
    text = inspect.cleandoc(command.help or "")
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith(_PARAGRAPH):
            yield f"```text\n{inspect.cleandoc(paragraph.removeprefix(_PARAGRAPH))}\n```"
        elif paragraph:
            yield _plain(" ".join(paragraph.split()))


def _option_line(parameter: click.Parameter, ctx: click.Context) -> Iterator[str]:
    names, says = parameter.get_help_record(ctx) or ("", "")
    if says:  # an argument's name is in the usage, and its help in the text
        yield f"| {_code(names)} | {_plain(_cell(says))} |"


def _settings_table(its_rows: list[Row]) -> Iterator[str]:
    yield "| key | takes | unless it is said | what it does | a change |"
    yield "| --- | --- | --- | --- | --- |"
    for row in its_rows:
        says = _plain(_cell(row.does))
        if row.variable:
            says += f" `{row.variable}` goes over it."
        yield f"| {_code(row.key)} | {_cell(row.takes)} | {_code(row.default)} | {says} | {row.applies} |"


def _code(text: str) -> str:
    """Show words as code; in a table, what Markdown calls code cannot hold a bar."""
    if not text:
        return ""
    return f"<code>{html.escape(' '.join(text.split()), quote=False).replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    """Keep a table's bars its own."""
    return " ".join(text.split()).replace("|", r"\|")


def _plain(text: str) -> str:
    """Have words that look like HTML shown as they are."""
    return text.replace("<", "&lt;").replace("[", r"\[")
