"""`localllm doctor`: what is wrong here or with an agent, why it matters, and the command that mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import click

from localllm.api.parting_views import PartingsView
from localllm.api.sync_client import require_daemon
from localllm.cli.connect import agent_names
from localllm.cli.conventions import allow_tls, here, json_option, print_document, say
from localllm.cli.render_partings import render_partings
from localllm.paths import bundled_profiles

if TYPE_CHECKING:  # heavy
    from pathlib import Path

    from localllm.api.checkup_views import CheckupView
    from localllm.checkup.examining import Examined
    from localllm.checkup.finding import Repaired
    from localllm.checkup.known import Known
    from localllm.checkup.place import Place

_ALL, _SOMEWHERE = "*", ""
_NARROW, _WIDE = 60, 100


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Do what is safe, after showing it: our own files alone.")
@click.option("--yes", is_flag=True, help="Do not ask before that.")
@click.option("--all", "everything", is_flag=True, help="Show what is in order, too.")
@click.option("--offline", is_flag=True, help="Ask no hub.")
@click.option(
    "--bundle",
    metavar="[FILE]",
    is_flag=False,
    flag_value=_SOMEWHERE,
    help="Write an archive for a bug report: no keys, no prompts, no names.",
)
@click.option(
    "--agent",
    metavar="[NAME]",
    is_flag=False,
    flag_value=_ALL,
    shell_complete=agent_names,
    help="What agents do that has their prompts read again; NAME is one of them, as in claude-code.",
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    agent: str | None,
    bundle: str | None,
    *,
    as_json: bool,
    **asked: bool,
) -> None:
    """Look at everything that goes wrong on people's machines, and name the command that mends it.

    Exits with 1 if something is wrong. With --agent: why an agent has to wait, from what it has
    sent since the daemon runs; what is as in the turn before need not be read again, up to the
    first thing that differs.

    \b
      localllm doctor                       what is wrong here
      localllm doctor --fix                 and do what is safe about it
      localllm doctor --bundle              an archive for a bug report
      localllm doctor --agent               all programs that sent chats
      localllm doctor --agent claude-code   one of them
    """  # noqa: D301  # click wants this very character
    if agent is not None:
        _agents(agent, as_json=as_json)
        return
    allow_tls()
    from localllm.checkup.place import this_place  # noqa: PLC0415  # heavy, all of it

    place = this_place(here(), offline=asked["offline"])
    examined, known = _examine(place)
    repaired: list[Repaired] = []
    if asked["fix"]:
        repaired = _repair(examined, place, yes=asked["yes"])
        if repaired:
            examined, known = _examine(place, is_first=False)
    view = _view(examined, repaired)
    if bundle is not None:
        view = _bundled(bundle, view, known)
    _show(view, as_json=as_json, everything=asked["everything"])
    context.exit(
        int(view.worst == "problem")
    )  # threads that hang are daemons: nobody waits for them


def _examine(place: Place, *, is_first: bool = True) -> tuple[Examined, Known]:
    """Look at everything; the first time, what the start has taken counts, too."""
    import time  # noqa: PLC0415  # heavy, all of it

    import psutil  # noqa: PLC0415

    from localllm.checkup.all_checks import all_checks  # noqa: PLC0415  # heavy
    from localllm.checkup.examining import examine, known_of, time_left_s  # noqa: PLC0415

    started = psutil.Process().create_time() if is_first else time.time()
    known = known_of(place, time_left_s(started, time.time()))
    return examine(all_checks(place), known), known


def _repair(examined: Examined, place: Place, *, yes: bool) -> list[Repaired]:
    """Do what is safe, if the user agrees."""
    from localllm.checkup.fixing import repair_all  # noqa: PLC0415  # heavy
    from localllm.checkup.repairs import render_repair  # noqa: PLC0415

    found = [one for one in examined.findings if one.repair is not None]
    if not found:
        say("nothing here can be mended by itself")
        return []
    for one in found:
        assert one.repair is not None, "only those were taken"
        say(f"{one.what}\n    would: {render_repair(one.repair)}")
    if not yes and not _agrees(len(found)):
        say("nothing was done")
        return []
    return repair_all(found, place)


def _agrees(count: int) -> bool:
    if not sys.stdin.isatty():
        say("nobody can be asked here whether it may be done: localllm doctor --fix --yes")
        return False
    return click.confirm(f"Do {'this' if count == 1 else f'these {count}'}?", err=True)


def _view(examined: Examined, repaired: Sequence[Repaired]) -> CheckupView:
    from localllm.checkup.report import render_checkup  # noqa: PLC0415  # heavy

    return render_checkup(examined.findings, examined.took_s, repaired)


def _bundled(asked: str, view: CheckupView, known: Known) -> CheckupView:
    """Write the archive, and say what is in it and where it is."""
    import msgspec  # noqa: PLC0415  # only here

    from localllm.checkup.bundle import write_bundle  # noqa: PLC0415  # heavy

    file = _place_for(asked)
    members = write_bundle(file, view, known)
    say(f"wrote {file}, which only you may read; in it are:")
    for member in members:
        say(f"  {member.name:<24} {member.what}")
    say("read it through before you send it")
    return msgspec.structs.replace(view, bundle=str(file))


def _place_for(asked: str) -> Path:
    import time  # noqa: PLC0415  # only here
    from pathlib import Path  # noqa: PLC0415

    from localllm.errors import LocalLLMError  # noqa: PLC0415

    named = asked or time.strftime("localllm-doctor-%Y%m%d-%H%M%S.zip")
    file = Path(named).expanduser().absolute()
    if file.exists():
        raise LocalLLMError(
            f"{file} is there already.",
            why="nothing is written over",
            fix="localllm doctor --bundle ANOTHER.zip",
        )
    return file


def _show(view: CheckupView, *, as_json: bool, everything: bool) -> None:
    import shutil  # noqa: PLC0415  # only here

    from localllm.cli.render_checkup import render_checkup  # noqa: PLC0415

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((_WIDE, 24)).columns
    columns = min(max(width, _NARROW), _WIDE)
    lines = render_checkup(view, columns=columns, color=color, everything=everything)
    print_document(view, lines, as_json=as_json, is_colored=True)


def _agents(agent: str, *, as_json: bool) -> None:
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
