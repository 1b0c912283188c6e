"""`localllm uninstall`: what localllm has written goes, and what stays is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import filelock

from localllm.cli.conventions import here, json_option, print_document, say
from localllm.errors import AlreadyRunning, NotRunning
from localllm.paths import Paths

if TYPE_CHECKING:  # heavy
    from localllm.cli.render_uninstall import UninstallView


@click.command("uninstall")
@click.option("--dry-run", is_flag=True, help="Say what would go and what would stay.")
@click.option("--yes", is_flag=True, help="Do not ask; agents' files are put back, settings go.")
@click.option("--keep-config", is_flag=True, help="Leave config.toml and your own profiles.")
@click.option("--keep-agents", is_flag=True, help="Leave what is written in agents' files.")
@json_option
def command(
    *, dry_run: bool, yes: bool, keep_config: bool, keep_agents: bool, as_json: bool
) -> None:
    """Take away what localllm has written on this machine.

    The daemon is drained and ended, the service taken away, agents' files are put back as they were, and
    engines, state, cache and settings removed: by their names, so that nothing else goes. Models stay,
    since other programs share them; so does the program itself. What stays is named at the end.

    \b
      localllm uninstall --dry-run      what would go, what would stay
      localllm uninstall                after a question
      localllm uninstall --keep-config  to install it anew
    """  # noqa: D301  # click wants this very character
    from localllm.cli.render_uninstall import render_uninstall  # noqa: PLC0415  # heavy

    paths = here()
    view = _look(paths, keep_config=keep_config, keep_agents=keep_agents)
    print_document(view, render_uninstall(view), as_json=as_json)
    if dry_run:
        return
    if not yes:
        _ask()
        keep_config = keep_config or (view.settings != [] and not _agrees("Settings, too?"))
        keep_agents = keep_agents or (view.agents != [] and not _agrees("Put agents' files back?"))
    with _alone(paths.cache / "upgrade.lock", "An upgrade is under way.", "wait for it"):
        _end_daemon(paths)
        with _alone(
            paths.lock, "A daemon runs still.", "localllm down; or wait, if it just starts"
        ):
            left = [] if keep_agents else _undo_agents(paths, view.agents)
            stays = _remove(paths, keep_config=keep_config, keep_records=keep_agents or bool(left))
    for file in stays:
        say(f"could not be removed: {file}")
    say("done; the program itself is removed by: " + view.program)
    if left or stays:
        sys.exit(1)


@contextmanager
def _alone(lock: Path, what: str, fix: str) -> Generator[None]:
    """Keep others from beginning meanwhile what would write there; the lock may be removed, too.

    Raises:
        AlreadyRunning: Another has begun.
    """
    held = filelock.FileLock(lock, blocking=False)
    with suppress(OSError):  # where nothing can be written, nobody writes
        if lock.parent.is_dir():
            try:
                held.acquire()
            except filelock.Timeout as error:
                raise AlreadyRunning(what, why=f"it holds {lock}", fix=fix) from error
    try:
        yield
    finally:
        held.release()


def _look(paths: Paths, *, keep_config: bool, keep_agents: bool) -> UninstallView:
    from localllm.api.sync_client import connect  # noqa: PLC0415  # heavy, all of them
    from localllm.cli.completion_files import completion_files  # noqa: PLC0415
    from localllm.cli.render_uninstall import FolderView, UninstallView  # noqa: PLC0415
    from localllm.installation.belongings import hub_models, survey  # noqa: PLC0415
    from localllm.installation.commands import remove  # noqa: PLC0415
    from localllm.installation.method import read_installed  # noqa: PLC0415
    from localllm.service.installed import installed_service  # noqa: PLC0415
    from localllm.store.places import hub_cache  # noqa: PLC0415

    found, cache = survey(paths), hub_cache(os.environ)
    models, model_bytes = hub_models(cache)
    service = installed_service(paths, os.environ)
    agents = sorted(file.stem for file in paths.agents.glob("*.json"))
    settings = [str(file) for one in found for file in one.settings]
    return UninstallView(
        daemon=connect(paths.daemon_file) is not None,
        service=None if service is None else str(service.file),
        folders=[FolderView(str(one.folder), len(one.files), one.size_bytes) for one in found],
        agents=[] if keep_agents else agents,
        settings=[] if keep_config else settings,
        kept=[*(settings if keep_config else []), *(f"{a}'s files" for a in agents if keep_agents)],
        foreign=[str(file) for one in found for file in one.foreign],
        models_folder=str(cache),
        models=models,
        model_bytes=model_bytes,
        completion=[str(file) for file in completion_files(os.environ)],
        program=remove(read_installed()),
    )


def _ask() -> None:
    """Ask whether to do it.

    Raises:
        Abort: The answer is no.
        UsageError: There is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: --yes does it, --dry-run shows it.")
    click.confirm("Remove all this?", abort=True, err=True)


def _agrees(question: str) -> bool:
    return click.confirm(question, default=True, err=True)


def _end_daemon(paths: Paths) -> None:
    """Drain it and take the service away: first, so that nobody writes meanwhile."""
    from localllm.api.sync_client import connect  # noqa: PLC0415  # heavy, all of them
    from localllm.cli.start import wait_until_gone  # noqa: PLC0415
    from localllm.service.installed import installed_service  # noqa: PLC0415

    service = installed_service(paths, os.environ)
    if service is not None:
        say("taking the service away ...")
        service.uninstall()
    client = connect(paths.daemon_file)
    if client is not None:
        say("draining the daemon ...")
        with suppress(NotRunning):  # it has just ended
            client.shut_down(forget=True)
        wait_until_gone(client, paths)


def _undo_agents(paths: Paths, agents: Sequence[str]) -> list[str]:
    """Put agents' files back; returns those where that failed."""
    from localllm.agents.record import record_file  # noqa: PLC0415  # heavy, all of them
    from localllm.agents.undoing import undo_settings  # noqa: PLC0415
    from localllm.errors import LocalLLMError  # noqa: PLC0415

    left = []
    for agent in agents:
        try:
            for undone in undo_settings(agent, paths.agents):
                say(f"{undone.file}: {undone.how}")
        except (LocalLLMError, OSError) as error:
            left.append(agent)
            say(f"{agent} stays as it is: {error}")
        else:
            record = record_file(paths.agents, agent)
            if record.exists():  # it was not read, or it would be gone
                left.append(agent)
                say(f"{agent} stays as it is: {record}, which says how it was, cannot be read")
    return left


def _remove(paths: Paths, *, keep_config: bool, keep_records: bool) -> list[Path]:
    from localllm.cli.completion_files import completion_files  # noqa: PLC0415  # heavy, both
    from localllm.installation.belongings import remove, survey  # noqa: PLC0415

    found = survey(paths)  # anew: the daemon has gone, and has written what it had
    keeps = {file for one in found for file in one.settings} if keep_config else set[Path]()
    if keep_records:
        keeps |= {*paths.agents.glob("*.json")}
    for file in completion_files(os.environ):
        with suppress(OSError):
            file.unlink()
    return [file for one in found for file in remove(one, keeps=keeps)]
