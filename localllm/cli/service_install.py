"""Puts a service in place, in the stead of whatever serves now, or leaves all as it was."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress

import filelock

from localllm.api.sync_client import DaemonClient, connect
from localllm.cli.conventions import say
from localllm.cli.service_start import start_by
from localllm.cli.start import a_daemon, wait_until_gone
from localllm.errors import AlreadyRunning, LocalLLMError, NotRunning
from localllm.paths import Paths
from localllm.service.installed import (
    InstalledService,
    installed_service,
    require_known,
    why_outdated,
)
from localllm.service.manager import Manager, ServiceError
from localllm.service.wanted import Wanted


def put_in_place(manager: Manager, wanted: Wanted, paths: Paths) -> None:
    """Install the service and start it. What was served is served again; requests are finished first.

    Raises:
        LocalLLMError: It could not be had; what ran before runs again.
    """
    with _one_at_a_time(paths):
        _put_in_place(manager, wanted, paths)


@contextmanager
def _one_at_a_time(paths: Paths) -> Generator[None]:
    """Have no second one take away what the first has just installed.

    Raises:
        AlreadyRunning: There is another.
    """
    paths.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = paths.cache / "service.lock"
    try:
        with filelock.FileLock(place, blocking=False):
            yield
    except filelock.Timeout as error:
        raise AlreadyRunning(
            "The service is being installed already.",
            why=f"another holds {place}",
            fix="wait for it",
        ) from error


def _put_in_place(manager: Manager, wanted: Wanted, paths: Paths) -> None:
    require_writable(manager, wanted)
    before = installed_service(paths, os.environ)
    if before is not None:
        require_known(before.made_of, before.file)
    if before is not None and _is_in_place(before, wanted):
        say("it is installed already, and nothing is to be changed")
        return
    ran = connect(paths.daemon_file)
    if ran is not None:
        _ask_to_end(ran)
    try:
        if ran is not None:
            wait_until_gone(ran, paths)
        if before is not None:
            before.uninstall()
        manager.install(wanted)
        if ran is not None or not wanted.sockets:
            start_by(manager, paths)
    except (LocalLLMError, OSError, KeyboardInterrupt):
        _put_back(manager, before, paths, ran)
        raise


def require_writable(manager: Manager, wanted: Wanted) -> None:
    """See that the service's file can be written and is not somebody else's, before anything ends.

    Raises:
        ServiceError: It cannot, or it is.
    """
    try:
        manager.render(wanted)
    except ValueError as error:  # of quoting, and of property lists
        raise ServiceError(
            "The service cannot be written.",
            why=f"the path of the interpreter is {wanted.python!r}: {error}",
            fix="install localllm in a folder with another name",
        ) from error
    made_of = manager.read()
    if manager.is_there() and (made_of is None or made_of.log != wanted.log):
        whose = "not ours" if made_of is None else f"of the installation that logs to {made_of.log}"
        raise ServiceError(
            "There is a service called localllm already.",
            why=f"that in {manager.folder} is {whose}, and a user has one",
            fix="uninstall it where it is from, or move its file away",
        )


def _is_in_place(service: InstalledService, wanted: Wanted) -> bool:
    look, client = service.look(), connect(service.paths.daemon_file)
    runs = look.state == "active" if client is None else client.daemon.pid == look.pid
    return (
        (runs or (client is None and look.listens))
        and look.enabled
        and service.made_of == wanted
        and not why_outdated(service)
    )


def _ask_to_end(client: DaemonClient) -> None:
    """Have the daemon drain, however it was started; it keeps in mind what it served."""
    say("the daemon that runs finishes its requests, and comes back as the service")
    with suppress(NotRunning):
        client.shut_down(forget=False)


def _put_back(
    manager: Manager, before: InstalledService | None, paths: Paths, ran: DaemonClient | None
) -> None:
    """Have what ran before run again; the error that led here is the one to tell."""
    if ran is not None:  # after Ctrl-C while it finished its requests: it ends all the same
        wait_until_gone(ran, paths)
    with suppress(LocalLLMError, OSError):
        manager.uninstall()
    with suppress(LocalLLMError, OSError):
        if before is not None:
            before.manager.install(before.made_of)
        if ran is not None:
            say("the service is taken back; the daemon runs as before")
            with a_daemon(paths, None):
                pass
