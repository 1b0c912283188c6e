"""How `up` and `down` get on with a service: the one starts it, the other says that it comes back."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from localllm.api.sync_client import DaemonClient, connect
from localllm.cli.conventions import say
from localllm.errors import StartFailed
from localllm.paths import Paths
from localllm.service.installed import InstalledService, installed_service
from localllm.service.manager import ServiceError

if TYPE_CHECKING:  # what `localllm service` has ready
    from localllm.service.manager import Look, Manager

_LISTENS_WITHIN_S, _LOOK_EVERY_S = 30.0, 0.1


def by_service(paths: Paths, port: int | None) -> DaemonClient | None:
    """Start the daemon as the service that is installed; None if there is none, or for another port.

    Raises:
        LocalLLMError: It did not start: the daemon's own error where it has told one.
    """
    service = installed_service(paths, os.environ)
    if service is None:
        return None
    if port not in {None, _port_of(service)}:
        say("the service has another port: this daemon is none of its")
        return None
    if not Path(service.made_of.python).is_file():
        raise StartFailed(
            "The service cannot start.",
            why=f"its interpreter is gone: {service.made_of.python}",
            fix=f"localllm service install{' --socket' if service.made_of.sockets else ''}",
        )
    say(f"starting the service ({service.manager.kind})")
    return start_by(service.manager, paths)


def start_by(manager: Manager, paths: Paths) -> DaemonClient:
    """Start a service, and find the daemon that it has become.

    Raises:
        LocalLLMError: It did not start: the daemon's own error where it has told one.
    """
    from localllm.cli.start import raise_what_it_said  # noqa: PLC0415  # it starts us, in its turn

    said_from = paths.daemon_log.stat().st_size if paths.daemon_log.exists() else 0
    try:
        manager.start()
        return _found(manager, paths)
    except ServiceError as error:
        with suppress(ServiceError):
            manager.stop()  # it would be tried again, and again
        if paths.daemon_log.exists():
            raise_what_it_said(None, paths.daemon_log, said_from)
        raise StartFailed(error.what, why=error.why, fix=_look_into(manager)) from error


def _found(manager: Manager, paths: Paths) -> DaemonClient:
    """Find the daemon of a service that was started. Where launchd did it, it does not listen yet.

    Raises:
        ServiceError: It has ended, or does not listen in time.
    """
    deadline = time.monotonic() + _LISTENS_WITHIN_S
    while (client := connect(paths.daemon_file)) is None:
        has_ended = manager.kind == "systemd" or _has_ended(manager.look())
        if has_ended or time.monotonic() > deadline:
            why = "the service does not run" if has_ended else "the service does not listen"
            raise ServiceError("The daemon did not start.", why=why, fix=_look_into(manager))
        time.sleep(_LOOK_EVERY_S)
    return client


def _has_ended(look: Look) -> bool:
    """Tell whether it was there: launchd takes a moment until it is, and has no last end till then."""
    return look.pid is None and look.last_exit is not None


def _look_into(manager: Manager) -> str:
    if manager.kind == "systemd":
        return "localllm service logs, and: journalctl --user -u localllm"
    return "localllm service logs"


def _port_of(service: InstalledService) -> int:
    from localllm.config.reading import read_settings  # noqa: PLC0415  # only for `--port`

    return read_settings(service.paths.config_file, service.made_of.environment).port


def stop_between_lives(paths: Paths) -> bool:
    """Stop a service that has no daemon at the moment: it ended, and is to be started again."""
    if connect(paths.daemon_file) is not None:
        return False
    service = installed_service(paths, os.environ)
    if service is None or service.look().state not in {"starting", "active"}:
        return False
    service.stop()
    return True


def stop_if_it_fell(paths: Paths) -> None:
    """Stop a service whose daemon was told to end and failed at that: it would be started again."""
    service = installed_service(paths, os.environ)
    if service is None:
        return
    with suppress(ServiceError):
        look = service.look()
        if look.state == "starting" and not look.listens:
            service.stop()


def how_it_comes_back(paths: Paths) -> str | None:
    """Say what will start the daemon again; None if nothing will."""
    service = installed_service(paths, os.environ)
    if service is None:
        return None
    with suppress(ServiceError):
        look = service.look()
        if look.listens:
            return (
                "the next request starts it again; `localllm service uninstall` ends that, and "
                "`systemctl --user stop localllm.socket` until the next login"
            )
        if look.enabled:
            return "it starts again with the machine; `localllm service uninstall` ends that"
    return None
