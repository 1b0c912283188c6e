"""What all checks may know: the place, and the facts that take time. Asks the daemon where there is one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import msgspec
import psutil

from localllm.api.daemon_file import DaemonFile, read_daemon_file
from localllm.api.status_views import StatusView
from localllm.api.sync_client import DaemonClient
from localllm.checkup.facts import Fact
from localllm.checkup.place import Place, ask_briefly
from localllm.config.reading import read_settings
from localllm.config.settings import Settings
from localllm.errors import LocalLLMError
from localllm.hardware.machine import Machine
from localllm.hardware.nvidia import SIGNS
from localllm.hardware.probe import probe_machine
from localllm.supervisor.reaper import owner_of


@dataclass(frozen=True, slots=True)
class Running:
    """The daemon that daemon.json tells of; it is alive, and may not answer."""

    file: DaemonFile
    status: StatusView | None
    """None: it did not answer in a way that we understand."""

    why_not: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """A process, as far as its user may see it."""

    pid: int
    name: str
    command: str
    """Its command line, words joined by blanks."""

    resident_bytes: int
    engine_of: str | None = None
    """The state folder of the daemon that started it, if one did."""


class Known:
    """Everything a check may use. Making one starts the search for all facts."""

    def __init__(
        self,
        place: Place,
        deadline: float,
        *,
        machine: Callable[[], Machine] | None = None,
        programs: Callable[[], list[Program]] | None = None,
    ) -> None:
        self.place = place
        self.deadline = deadline
        """Of the facts; on the monotonic clock."""

        self.daemon = Fact(lambda: _ask_daemon(place), deadline)
        self.machine = Fact(machine or (lambda: _probe(place, deadline)), deadline)
        self.programs = Fact(programs or (lambda: list_programs(place)), deadline)
        self.settings = Fact(lambda: _read_settings(place), deadline)
        for fact in (self.machine, self.programs, self.daemon, self.settings):
            fact.start()

    @property
    def status(self) -> StatusView | None:
        """What the daemon says of itself; None where none runs, or it does not answer."""
        running = self.daemon.get()
        return None if running is None else running.status

    @property
    def probe_warnings(self) -> tuple[str, ...]:
        """What this probe, and the daemon's, could not learn of the hardware."""
        machine, status = self.machine.get(), self.status
        own = () if machine is None else machine.warnings
        told = () if status is None else tuple(status.hardware.warnings)
        return tuple(dict.fromkeys((*own, *told)))

    @property
    def has_no_daemon(self) -> bool:
        """Whether it is certain that none runs; one of a later version is one, too."""
        daemon = self.daemon
        return daemon.get() is None and not daemon.is_late and daemon.failure is None

    @property
    def port(self) -> int:
        """Where the daemon listens, or would."""
        running, settings = self.daemon.get(), self.settings.get()
        if running is not None:
            return running.file.port
        return settings.port if isinstance(settings, Settings) else Settings().port


def _ask_daemon(place: Place) -> Running | None:
    file = read_daemon_file(place.paths.daemon_file)
    if file is None:
        return None
    try:
        return Running(file, DaemonClient(file).status())
    except LocalLLMError as error:
        return Running(file, None, f"{error.what} ({error.why})")


def _read_settings(place: Place) -> Settings | LocalLLMError:
    try:
        return read_settings(place.paths.config_file, place.environment)
    except LocalLLMError as error:
        return error


def _probe(place: Place, deadline: float) -> Machine:
    """Ask the drivers, in another process where there is one that could hang."""
    risky = place.system == "darwin" or any(place.exists(sign) for sign in SIGNS)
    if not risky:
        return probe_machine(environment=place.environment, root=place.root)
    command = [sys.executable, "-P", "-m", "localllm.checkup.probing", str(place.root)]
    told = ask_briefly(command, max(0.1, deadline - monotonic()))
    if told is None:
        raise TimeoutError("the driver did not answer")
    return msgspec.json.decode(told, type=Machine)


def list_programs(place: Place) -> list[Program]:
    """List all processes; what their user may not read of them is left out."""
    fields = ["pid", "name", "cmdline", "memory_info"]
    return [
        Program(
            one.pid,
            one.info["name"] or "",
            " ".join(one.info["cmdline"] or ()),
            getattr(one.info["memory_info"], "rss", 0),
            owner_of(one) if _may_be_engine(one.info["cmdline"]) else None,
        )
        for one in psutil.process_iter(fields)
        if place.system == "darwin" or one.info["cmdline"]  # the kernel's own threads have none
    ]


def _may_be_engine(command: list[str] | None) -> bool:
    """Leave shells and their like alone: reading each environment takes a while."""
    if not command:
        return False
    return not Path(command[0]).name.startswith(("bash", "sshd", "systemd"))


def now() -> float:
    """The clock of deadlines."""
    return monotonic()
