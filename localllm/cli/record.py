"""`localllm record`: keep the shapes of requests, to replay them with `localllm bench --replay`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from localllm.api.recording_client import fetch_recording, start_recording, stop_recording
from localllm.api.recording_views import (
    MOST_MINUTES,
    RecordingRequest,
    RecordingView,
    TrafficRemovedView,
    TrafficsView,
    TrafficView,
)
from localllm.api.sync_client import require_daemon
from localllm.api.traffic_file import SUFFIX
from localllm.api.traffic_folder import Found, find_traffic, view_of
from localllm.cli.conventions import here, json_option, print_document, say
from localllm.cli.tables import table
from localllm.units import size
from localllm.wording.figures import DASH, counted
from localllm.wording.plain import plain
from localllm.wording.recorded import what_is_lacking, what_is_recorded


@click.group("record")
def command() -> None:
    """Keep the shapes of requests, to replay them later.

    Kept is when requests came, how long prompts and answers were, what prompts have in common, and
    how long all took; neither prompts nor answers. localllm bench --replay FILE plays them again.
    """


@command.command("on")
@click.option(
    "--minutes",
    type=click.FloatRange(0, MOST_MINUTES, min_open=True),
    default=60.0,
    show_default=True,
    help="End by itself after so long.",
)
@click.option("--client", metavar="PATTERN", help="Only requests of these programs, as in claude*.")
@click.option("--prompts", is_flag=True, help="Keep the prompts themselves, too.")
@json_option
def on(*, minutes: float, client: str | None, prompts: bool, as_json: bool) -> None:
    """Begin a recording."""
    wanted = RecordingRequest(minutes=minutes, client=client, prompts=prompts)
    view = start_recording(require_daemon(here().daemon_file), wanted)
    if prompts:
        say("warning: the prompts themselves are written down, in a file that you alone can read:")
        say(f"warning: {view.file}")
        say("warning: it is as private as what is asked; localllm record off ends it")
    print_document(view, [*_said(view), f"file: {view.file}"], as_json=as_json)


@command.command("off")
@json_option
def off(*, as_json: bool) -> None:
    """End the recording."""
    view = stop_recording(require_daemon(here().daemon_file))
    lines = [*_said(view), f"file: {view.file}"]
    if view.requests:
        name = Path(view.file).name.removesuffix(SUFFIX)
        lines.append(f"to replay it: localllm bench --replay {shlex.quote(name)} --rate 1,2,5")
    print_document(view, lines, as_json=as_json)


@command.command("status")
@json_option
def status(*, as_json: bool) -> None:
    """Show the recording under way, or the last one."""
    view = fetch_recording(require_daemon(here().daemon_file))
    lines = ["nothing is recorded, and nothing was since the daemon was started"]
    if view is not None:
        lines = [*_said(view), f"file: {view.file}"]
    print_document(view, lines, as_json=as_json)


@command.command("ls")
@json_option
def list_recordings(*, as_json: bool) -> None:
    """Show what was recorded; works without a daemon."""
    folder = here().traffic
    views = [view_of(found) for found in find_traffic(folder)]
    view = TrafficsView(folder=str(folder), size=sum(one.size for one in views), recordings=views)
    print_document(view, _lines(view), as_json=as_json)


def _names_here(_context: click.Context, _option: click.Parameter, begun: str) -> list[str]:
    return [one.name for one in find_traffic(here().traffic) if one.name.startswith(begun)]


@command.command("rm")
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=_names_here)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def remove(names: Sequence[str], *, everything: bool, yes: bool, as_json: bool) -> None:
    """Remove the recordings NAME."""
    if bool(names) == everything:
        raise click.UsageError("Name recordings, or say --all; localllm record ls has them.")
    known = find_traffic(here().traffic)
    meant = known if everything else _named(known, names)
    freed = sum(one.size for one in meant)
    if meant and not yes:
        from localllm.cli.housekeeping import agree  # noqa: PLC0415  # heavy

        again = "--all" if everything else shlex.join(names)
        question = f"remove {counted(len(meant), 'recording')} ({size(freed)})?"
        agree(question, f"localllm record rm {again}", yes=yes)
    for one in meant:
        one.file.unlink(missing_ok=True)
    view = TrafficRemovedView(removed=[one.name for one in meant], freed=freed)
    said = f"removed {counted(len(meant), 'recording')}, freed {size(freed)}"
    print_document(view, [said if meant else "there is none to remove"], as_json=as_json)


def _named(known: Sequence[Found], names: Sequence[str]) -> Sequence[Found]:
    by_name = {one.name: one for one in known}
    for name in names:
        if name not in by_name:
            raise click.UsageError(f"No recording {plain(name)!r}; localllm record ls has them.")
    return [by_name[name] for name in dict.fromkeys(names)]


def _said(view: RecordingView) -> list[str]:
    return [what_is_recorded(view), *what_is_lacking(view)]


def _lines(view: TrafficsView) -> list[str]:
    if not view.recordings:
        return ["nothing was recorded yet; localllm record on begins"]
    head = ["name", "model", "requests", "minutes", "size", "with"]
    broken = [f"{plain(one.name)}: {plain(one.error)}" for one in view.recordings if one.error]
    what = counted(len(view.recordings), "recording")
    rows = table([head, *map(_row, view.recordings)])
    return [*rows, *broken, "", f"{what}, {size(view.size)}, in {view.folder}"]


def _row(one: TrafficView) -> list[str]:
    return [
        plain(one.name),
        plain(one.model or DASH),
        DASH if one.requests is None else str(one.requests),
        DASH if one.minutes is None else f"{one.minutes:.1f}",
        size(one.size),
        "prompts" if one.prompts else "shapes",
    ]
