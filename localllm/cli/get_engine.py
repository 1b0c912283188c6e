"""Gets an engine where it is needed: says what, from where and how large, and asks first."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import click

from localllm.catalog.builds import Build
from localllm.cli.conventions import allow_tls, say
from localllm.config.current import read_current
from localllm.engines.builds.fitting import Candidate
from localllm.engines.builds.shelf import Shelved
from localllm.errors import EngineUnusable
from localllm.hardware.machine import Machine
from localllm.paths import Paths, bundled_profiles
from localllm.planning.desk import Desk
from localllm.wording.figures import size_of
from localllm.wording.plain import plain

_STEP = 0.1
"""How much more has to be here for another line, where nobody watches."""


def a_desk(paths: Paths) -> Desk:
    """The desk of this user, without a daemon."""
    current = read_current(paths.config_file, os.environ)
    return Desk(current, paths, dict(os.environ), bundled_profiles())


def get_engine(
    desk: Desk, machine: Machine, candidates: Sequence[Candidate], *, yes: bool
) -> Shelved:
    """Install the first build that works here, if the user agrees.

    Raises:
        LocalLLMError: There is none, it cannot be had, or nobody can be asked.
    """
    allow_tls()
    from localllm.engines.builds.obtain import obtain  # noqa: PLC0415  # once there is TLS

    progress = Progress()
    workshop = desk.engine_desk.workshop(machine, progress, say)
    try:
        return _done(anyio.run(obtain, candidates, workshop, _asking(desk, yes=yes)))
    finally:
        progress.end()


def get_from_disk(desk: Desk, place: Path, machine: Machine) -> Shelved:
    """Install from files that were brought here: a build that is known, else an archive of one's own.

    Raises:
        LocalLLMError: They are no engine, not what they should be, or do not run here.
    """
    allow_tls()
    from localllm.engines.builds.obtain import from_disk, install_own, obtain  # noqa: PLC0415  # likewise

    folder = place if place.is_dir() else place.parent
    workshop = desk.engine_desk.workshop(machine, Progress(), say, folder)
    candidates = desk.engine_desk.candidates(machine)
    build = from_disk(candidates, place)
    if build is not None:
        return _done(anyio.run(obtain, [Candidate(build)], workshop, _naming))
    if place.is_file():
        return _done(anyio.run(install_own, place, machine.host, workshop))
    names = [a.name for c in candidates for a in c.build.archives if c.why_not is None]
    raise EngineUnusable(
        f"{place} has no engine for this machine.",
        why=f"looked for were {', '.join(names) or 'none, since none is known for it'}",
        fix="bring one of these files, with the wheels that `localllm engine list --json` names",
    )


def _done(shelved: Shelved) -> Shelved:
    proved = shelved.manifest.proved_on or "the processor"
    say(f"{shelved.build.title} is in use, and has run a model on {proved}")
    return shelved


def _naming(build: Build) -> None:
    say(f"installing {build.title} from this disk ...")


def _asking(desk: Desk, *, yes: bool) -> Callable[[Build], None]:
    """Make the question that is asked before anything is fetched."""

    def ask(build: Build) -> None:
        folder = desk.paths.engines
        say(
            f"an engine is needed: {build.title}, {size_of(build.download_bytes)} from "
            f"{' and '.join(build.hosts)}, into {folder} (licence: {build.licence})"
        )
        if yes:
            return
        if not sys.stdin.isatty():
            raise EngineUnusable(
                f"{build.title} is needed and not installed.",
                why=f"it is a download of {size_of(build.download_bytes)}, and nobody can be asked here",
                fix="localllm engine install --yes, or the same command with --yes",
            )
        if not click.confirm("fetch it?", default=True, err=True):
            raise Declined(
                f"{build.title} was not fetched.",
                why="you said no",
                fix="localllm engine list shows what else there is, or: localllm up --allow-cpu",
            )

    return ask


class Declined(EngineUnusable):
    """The user does not want it."""

    own_code = "engine_unusable"


class Progress:
    """Shows a download: one line that changes on a terminal, a line for every tenth elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._name = ""
        self._said = 0.0
        self._open = False

    def end(self) -> None:
        """Leave a line that was begun, for whatever is said next."""
        if self._open:
            self._open = False
            click.echo(err=True)

    def __call__(self, name: str, here: int, whole: int) -> None:
        if name != self._name:
            self._name, self._said = name, 0.0
        share = here / whole
        if self._live:
            line = f"{plain(name)}: {size_of(here)} of {size_of(whole)} ({share:.0%})"
            self._open = here < whole
            click.echo(f"\r\x1b[2K{line}", err=True, nl=not self._open)
        elif share >= self._said + _STEP or (here >= whole and self._said < 1.0):
            self._said = share
            say(f"{name}: {share:.0%}")
