"""`localllm prefix`: the prompts that are kept on this disk, with or without a daemon."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence

import click

from localllm.api.prefix_views import PrefixesRemovedView, PrefixesView, PrefixView
from localllm.cli.conventions import here, json_option, print_document
from localllm.cli.render_store import ago
from localllm.cli.tables import table
from localllm.config.reading import read_settings
from localllm.errors import ModelNotFound
from localllm.paths import Paths
from localllm.prefix.budget import read_budget_bytes, read_held_bytes
from localllm.prefix.entries import Entry
from localllm.prefix.shelf import Shelf
from localllm.units import size
from localllm.wording.figures import counted
from localllm.wording.plain import plain


@click.group("prefix")
def command() -> None:
    """Show and remove the prompts that are kept on this disk.

    They are what engines have read, as they keep it in memory: with it, an agent's long prompt is
    not read again after a switch or a restart. [prefix] in config.toml says how much of it is kept.
    """


def _ids_here(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    return [one.id for one in _shelf(here()).entries() if one.id.startswith(begun)]


@command.command("ls")
@json_option
def list_prefixes(*, as_json: bool) -> None:
    """Show the prompts that are kept: of which model, how long, how large, when used last."""
    paths, now = here(), time.time()
    settings = read_settings(paths.config_file, os.environ).prefix
    entries = sorted(_shelf(paths).entries(), key=lambda one: -one.used_at)
    view = PrefixesView(
        enabled=settings.enabled,
        folder=str(paths.prefixes),
        budget=read_budget_bytes(paths.prefixes, settings.max_gib),
        size=sum(one.size_bytes for one in entries),
        prefixes=[_view_of(one) for one in entries],
    )
    print_document(view, _lines(view, now), as_json=as_json)


@command.command("rm")
@click.argument("ids", metavar="[ID...]", nargs=-1, shell_complete=_ids_here)
@click.option(
    "--all", "everything", is_flag=True, help="All of them, also those of other versions."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove(ids: Sequence[str], *, everything: bool, yes: bool, as_json: bool) -> None:
    """Remove the prompts ID; they are read again when they are asked for next.

    What a running engine has in memory it may save again when it is idle.
    """
    if bool(ids) == everything:
        raise click.UsageError("Name the prompts by ID, or say --all; localllm prefix ls has them.")
    paths = here()
    shelf = _shelf(paths)
    meant = shelf.entries() if everything else _named(shelf.entries(), ids)
    freed = read_held_bytes(paths.prefixes) if everything else sum(one.size_bytes for one in meant)
    if freed and not yes:
        from localllm.cli.housekeeping import agree  # noqa: PLC0415  # heavy

        again = "--all" if everything else shlex.join(ids)
        agree(f"remove {_counted(meant)} ({size(freed)})?", f"localllm prefix rm {again}", yes=yes)
    if everything:
        shelf.remove_all()
    for one in meant:
        shelf.remove(one.id)
    view = PrefixesRemovedView(removed=[one.id for one in meant], freed=freed)
    said = f"removed {_counted(meant)}, freed {size(freed)}" if freed else "there is none to remove"
    print_document(view, [said], as_json=as_json)


def _shelf(paths: Paths) -> Shelf:
    return Shelf(paths.prefixes, lambda: 0, time.time)  # takes nothing in


def _named(entries: Sequence[Entry], ids: Sequence[str]) -> Sequence[Entry]:
    known = {one.id: one for one in entries}
    for wanted in ids:
        if wanted not in known:
            raise ModelNotFound(
                f"No prompt {plain(wanted)!r} is kept on this disk.",
                why=f"here are {_counted(entries)}, with other ids" if known else "there is none",
                fix="localllm prefix ls",
            )
    return [known[wanted] for wanted in dict.fromkeys(ids)]


def _view_of(entry: Entry) -> PrefixView:
    return PrefixView(
        id=entry.id,
        model=entry.model,
        tokens=entry.tokens,
        size=entry.size_bytes,
        saved=entry.saved_at,
        last_used=entry.used_at,
        uses=entry.uses,
        kind="text" if entry.is_text else "slot",
    )


def _lines(view: PrefixesView, now: float) -> list[str]:
    lines = ["no prompt is kept on this disk yet"]
    if view.prefixes:
        head = ["id", "model", "kept as", "tokens", "size", "saved", "last used", "uses"]
        rows = [_row(one, now) for one in view.prefixes]
        said = f"{_counted(view.prefixes)}, {size(view.size)} of {size(view.budget)} that they may take"
        lines = [*table([head, *rows]), "", said]
    if not view.enabled:
        removes = "; localllm prefix rm --all removes them" if view.prefixes else ""
        lines.append(f"they are neither used nor added to: [prefix] says enabled = false{removes}")
    elif not view.budget:
        lines.append("there is no room for any: [prefix] says max_gib = 0, or the disk is full")
    return lines


def _row(one: PrefixView, now: float) -> list[str]:
    return [
        one.id,
        plain(one.model),
        one.kind,
        str(one.tokens),
        size(one.size),
        ago(one.saved, now),
        ago(one.last_used, now),
        str(one.uses),
    ]


def _counted(some: Sequence[object]) -> str:
    return counted(len(some), "prompt")
