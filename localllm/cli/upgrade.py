"""`localllm upgrade`: another version of localllm, and the same models served by it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
import filelock

from localllm.cli.conventions import here, json_option, print_document, say
from localllm.errors import AlreadyRunning
from localllm.paths import Paths

if TYPE_CHECKING:  # heavy
    from localllm.installation.commands import Source
    from localllm.installation.planning import Upgrade


@click.command("upgrade")
@click.option("--check", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--to", "version", metavar="VERSION", help="This one, and not the newest.")
@click.option(
    "--from", "source", metavar="WHERE", help="A wheel, a folder of wheels, or a package index."
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@json_option
def command(
    *, check: bool, version: str | None, source: str | None, yes: bool, as_json: bool
) -> None:
    """Bring localllm up to date, and come back with the same models.

    The new version is fetched first; then requests in flight end, the daemon stops, the installer that
    installed localllm (uv, pipx, pip) puts the new version in its place, and the daemon starts again.
    If what was served does not come back, the old version does. It is kept: --to goes back to it.

    \b
      localllm upgrade --check          what would change
      localllm upgrade                  after a question
      localllm upgrade --to 0.1.0       this version, as the one before
      localllm upgrade --from ./wheels  from a folder, where there is no network
    """  # noqa: D301  # click wants this very character
    from localllm.cli.render_upgrade import render_upgrade, view_of  # noqa: PLC0415  # heavy, all
    from localllm.installation.method import read_installed  # noqa: PLC0415
    from localllm.installation.planning import plan_upgrade, require_upgradable  # noqa: PLC0415

    installed, paths = read_installed(), here()
    require_upgradable(installed)
    _require_an_answer(check=check, yes=yes)
    wanted = version, _source(source)
    with _a_folder(paths) as folder:
        upgrade = plan_upgrade(installed, wanted, paths, folder, os.environ)
        due = upgrade.is_needed and not (upgrade.goes_back and version is None and source is None)
        print_document(view_of(upgrade, due=due), render_upgrade(upgrade, due=due), as_json=as_json)
        if check or not due:
            return
        if not yes:
            _ask(upgrade)
        _carry_out(upgrade, paths, folder)


def _carry_out(upgrade: Upgrade, paths: Paths, folder: Path) -> None:
    """Fetch all of it, then put it in place around a daemon that is down."""
    from localllm.cli.changing_over import change_over  # noqa: PLC0415  # heavy, all of them
    from localllm.installation.planning import (  # noqa: PLC0415
        fetch_packages,
        install,
        install_again,
        keep_before,
    )

    say(f"fetching localllm {upgrade.version} and what it needs ...")
    fetch_packages(upgrade, folder / "needs", os.environ)
    kept = keep_before(upgrade, paths.data, folder / "before")
    change_over(
        paths,
        upgrade.version,
        forth=lambda: install(upgrade, os.environ),
        back=lambda: install_again(upgrade, kept, os.environ),
    )
    say(
        f"to go back: localllm upgrade --to {upgrade.installed.version} "
        f"(it is kept as {kept[0]}, and needs no network)"
    )


def _require_an_answer(*, check: bool, yes: bool) -> None:
    """Refuse, before anything is fetched, where nobody could agree to it.

    Raises:
        UsageError: There is nobody to ask.
    """
    if not (check or yes or sys.stdin.isatty()):
        raise click.UsageError("Nobody can be asked here: --yes does it, --check does nothing.")


def _ask(upgrade: Upgrade) -> None:
    """Ask whether to do it.

    Raises:
        Abort: The answer is no.
    """
    verb = "Go back" if upgrade.goes_back else "Upgrade"
    click.confirm(f"{verb} to {upgrade.version}?", abort=True, err=True)


def _source(given: str | None) -> Source:
    """Tell a wheel from a folder and from an index.

    Raises:
        BadParameter: It is none of these.
    """
    from localllm.installation.commands import Source  # noqa: PLC0415

    if given is None:
        return Source()
    if given.startswith(("https://", "http://", "file://")):
        return Source(index=given)
    place = Path(given).expanduser()
    if place.is_dir():
        return Source(folder=place)
    if place.suffix == ".whl" and place.is_file():
        return Source(wheel=place)
    raise click.BadParameter(f"{given} is no wheel, folder or address.", param_hint="--from")


@contextmanager
def _a_folder(paths: Paths) -> Generator[Path]:
    """A folder for what is fetched; not where temporary files are, which may be in memory.

    Raises:
        AlreadyRunning: Another upgrade is under way.
    """
    paths.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with filelock.FileLock(paths.cache / "upgrade.lock", blocking=False):
            for left in paths.cache.glob("localllm-upgrade-*"):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="localllm-upgrade-", dir=paths.cache))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except filelock.Timeout as error:
        raise AlreadyRunning(
            "Another upgrade is under way.",
            why=f"it holds {paths.cache / 'upgrade.lock'}",
            fix="wait for it",
        ) from error
