"""The service of one installation: whether there is one, how it is, and what can be done with it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from localllm.api.daemon_file import read_daemon_file
from localllm.errors import LocalLLMError
from localllm.paths import Paths
from localllm.service.manager import Look, Manager, NoServiceManager
from localllm.service.surroundings import lingers, manager_of, require_manager
from localllm.service.view import Kind, ServiceView
from localllm.service.wanted import FORMAT, Wanted
from localllm.versioned import newer


@dataclass(frozen=True, slots=True)
class InstalledService:
    """A service of this installation, whatever it does now.

    What it is asked to do may raise ServiceError.
    """

    manager: Manager
    made_of: Wanted
    paths: Paths

    @property
    def file(self) -> Path:
        return self.manager.folder / next(iter(self.manager.render(self.made_of)))

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.manager.start()

    def stop(self) -> None:
        """Drain it, and wait until it is gone; it is enabled still."""
        self.manager.stop()

    def restart(self) -> None:
        """Drain it, write its file as this version does, and start it: it serves the same again.

        Raises:
            LocalLLMError: It is as it was, and runs if it could be started.
        """
        try:
            if why_outdated(self):
                self.renew()
            else:
                self.stop()
        except (LocalLLMError, OSError):
            with suppress(LocalLLMError, OSError):
                self.manager.start()
            raise
        self.manager.start()

    def renew(self) -> None:
        """Drain it, and write its file as this version does; it does not run afterwards.

        Raises:
            LocalLLMError: It cannot be done; the file is as it was.
        """
        wanted = _renewed(self)
        require_known(self.made_of, self.file)
        try:
            self.manager.uninstall()
            self.manager.install(wanted)
        except (LocalLLMError, OSError):
            with suppress(LocalLLMError, OSError):
                self.manager.install(self.made_of)
            raise

    def renew_if_outdated(self) -> None:
        """Write its file as this version does, where it is not; what `renew` may raise, this may."""
        if why_outdated(self):
            self.renew()

    def put_back(self) -> None:
        """Write its files as this version does, of what was read, whatever version has written since."""
        if not _is_written(self, self.made_of):
            self.manager.uninstall()
            self.manager.install(self.made_of)

    def uninstall(self) -> None:
        """Drain it, and take its files away."""
        self.manager.uninstall()

    def look(self) -> Look:
        return self.manager.look()


def installed_service(paths: Paths, environment: Mapping[str, str]) -> InstalledService | None:
    """Find the service of an installation; None if it has none. Asks the system nothing.

    A user has one service; that of an installation elsewhere (LOCALLLM_HOME) is not this one's.
    """
    manager = manager_of(environment)
    made_of = manager.read() if manager is not None else None
    if manager is None or made_of is None or made_of.log != str(paths.daemon_log):
        return None
    return InstalledService(manager, made_of, paths)


def read_service_status(paths: Paths, environment: Mapping[str, str]) -> ServiceView:
    """Say how it is with the service; needs no daemon, and raises nothing of its own."""
    service = installed_service(paths, environment)
    try:
        manager = require_manager(environment)
    except LocalLLMError as error:
        problem = f"{error.what} {error.why}" if isinstance(error, NoServiceManager) else error.what
        if service is None:
            return ServiceView(installed=False, kind=None, problem=problem)
        return ServiceView(installed=True, kind=_kind(), file=str(service.file), problem=problem)
    if service is None:
        return ServiceView(installed=False, kind=_kind(), problem=_another(manager))
    return _view(service)


def _view(service: InstalledService) -> ServiceView:
    try:
        look = service.look()
    except LocalLLMError as error:
        return ServiceView(
            installed=True,
            kind=_kind(),
            file=str(service.file),
            problem=f"{error.what} {error.why}",
        )
    daemon = read_daemon_file(service.paths.daemon_file)
    return ServiceView(
        installed=True,
        kind=_kind(),
        file=str(service.file),
        enabled=look.enabled,
        state=look.state,
        pid=look.pid,
        since=look.since,
        restarts=look.restarts,
        last_exit=look.last_exit,
        lingers=lingers() if service.manager.kind == "systemd" else None,
        by_socket=bool(service.made_of.sockets),
        listens=look.listens,
        outside=daemon.pid if daemon is not None and daemon.pid != look.pid else None,
        outdated=why_outdated(service),
    )


def require_known(made_of: Wanted, file: Path) -> None:
    """See that no newer version has written a service, whose meaning would be lost.

    Raises:
        NewerFile: One has.
    """
    if made_of.format > FORMAT:
        raise newer(file, "the service", made_of.format, FORMAT)


def why_outdated(service: InstalledService) -> tuple[str, ...]:
    """Say what this version would write otherwise; nothing where it would write the same."""
    made_of = service.made_of
    if made_of.format > FORMAT:
        return ()  # it is we who are old
    why = list[str]()
    if not Path(made_of.python).is_file():  # an upgrade of Python may take it away
        why.append(f"its interpreter is gone: {made_of.python}")
    elif made_of.python != sys.executable:
        why.append(f"it starts {made_of.python}, and this is {sys.executable}")
    try:
        wanted = _renewed(service)
    except LocalLLMError as error:
        return (*why, f"the settings are wrong: {error.why}")
    if wanted.sockets != made_of.sockets:
        why.append(f"its socket is {', '.join(made_of.sockets)}, the settings say otherwise")
    if not why and not _is_written(service, wanted):
        why.append("its file is not what this version writes")
    return tuple(why)


def _renewed(service: InstalledService) -> Wanted:
    from localllm.service.facts import renewed  # noqa: PLC0415  # `up` and `down` need no settings

    return renewed(service.made_of, service.paths)


def _is_written(service: InstalledService, wanted: Wanted) -> bool:
    folder = service.manager.folder
    try:
        return all(
            (folder / name).read_bytes() == content
            for name, content in service.manager.render(wanted).items()
        )
    except OSError:
        return False


def _another(manager: Manager) -> str | None:
    """Say so, if there is a service that is not this installation's."""
    made_of = manager.read()
    if made_of is not None:
        return f"the user's service is of another installation, whose log is {made_of.log}"
    if manager.is_there():
        return f"{manager.folder} has a service called localllm that is not ours"
    return None


def _kind() -> Kind:
    return "launchd" if sys.platform == "darwin" else "systemd"
